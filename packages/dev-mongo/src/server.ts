import { EventEmitter, once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { FleetError } from '@taskfleet/protocol'
import { freePort, isFree } from './free-port.ts'
import { type GuardedProcess, isAlive, spawnGuarded } from './guarded-process.ts'
import { keptSecret } from './kept-secret.ts'
import { joinReplicaSet } from './replica-set.ts'
import type { Engine, RunningMongo, SourceName } from './types.ts'

type Place = { dataDir?: string | undefined; port?: number | undefined; env: NodeJS.ProcessEnv }

const inUse =
  /already being managed by another process|DBPathInUse|Device or resource busy|Unable to lock the lock file/i
const portTaken = /address (is )?already in use|EADDRINUSE|SocketException.*in use/i

/**
 * Starts an engine on 127.0.0.1 and waits until it is the primary of its replica set.
 *
 * @throws FleetError `DATABASE_IN_USE` when another server holds the data folder, `DATABASE_START_FAILED` with the
 * server's last lines when it ends or stays silent
 */
export async function startServer(engine: Engine, place: Place): Promise<OwnServer> {
  const root = place.dataDir ? resolve(place.dataDir) : await mkdtemp(join(tmpdir(), 'taskfleet-db-'))
  const folder = join(root, engine.folder)
  const server = new OwnServer({ engine, folder, env: place.env, temporary: place.dataDir ? undefined : root })
  try {
    await mkdir(folder, { recursive: true })
    const remembered = join(root, `${engine.folder}.port`)
    await server.startOn(place.port ?? (await lastPort(remembered)))
    if (place.dataDir) await writeFile(remembered, String(server.port))
    // The server holds this folder now, so no other process writes the secret.
    Object.assign(server, await keptSecret(place.dataDir ? root : undefined))
    return server
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** The same port as last time, so that addresses stay valid over a restart; undefined when it is taken. */
async function lastPort(file: string): Promise<number | undefined> {
  const port = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10)
  return port > 0 && port < 65_536 && (await isFree(port)) ? port : undefined
}

interface ServerOptions {
  engine: Engine
  folder: string
  env: NodeJS.ProcessEnv
  /** Removed by `stop`. */
  temporary: string | undefined
}

/** A server that this process started. */
export class OwnServer implements RunningMongo {
  readonly source: SourceName
  readonly standIn: boolean
  uri = ''
  port = 0
  secret = ''
  secretFile: string | undefined
  readonly #options: ServerOptions
  #process: GuardedProcess | undefined
  #stopped: Promise<void> | undefined

  constructor(options: ServerOptions) {
    this.source = options.engine.source
    this.standIn = options.engine.standIn
    this.#options = options
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** On the given port, else on a free one. `tries` is for a port that its last owner still holds for a moment. */
  async startOn(asked?: number, tries = asked ? 1 : 5): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const port = asked ?? (await freePort())
      try {
        await this.#launch(port)
        this.uri = await joinReplicaSet(port, 'taskfleet')
        this.port = port
        this.#process?.hold(false)
        return
      } catch (error) {
        await this.#process?.stop()
        if (attempt >= tries || !(error instanceof FleetError && error.code === 'PORT_IN_USE')) throw error
        if (asked) await delay(250)
      }
    }
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const running = this.#process
    if (!running || !isAlive(running.pid)) return
    process.kill(running.pid, signal)
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') return
    running.hold(true)
    await running.exited
  }

  async restart(): Promise<void> {
    if (this.#stopped)
      throw new FleetError('DATABASE_STOPPED', 'This database was stopped; call startMongo() for another.')
    await this.#process?.stop()
    await this.startOn(this.port, 10)
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#end()
    return this.#stopped
  }

  async #end(): Promise<void> {
    // Temporary data is not read again. An orderly stop would take SecantusDB two seconds.
    const { temporary } = this.#options
    if (temporary) await this.kill('SIGKILL')
    await this.#process?.stop()
    if (temporary) await rm(temporary, { recursive: true, force: true, maxRetries: 5 })
  }

  async #launch(port: number): Promise<void> {
    const { engine, folder, env, temporary } = this.#options
    const lines: string[] = []
    const listening = new EventEmitter()
    const ready = once(listening, 'ready')
    this.#process = await spawnGuarded({
      file: engine.file,
      args: engine.args({ port, folder }),
      cwd: folder,
      env,
      temporaryFolder: temporary,
      onLine: (line) => {
        lines.push(line)
        if (lines.length > 40) lines.shift()
        if (engine.ready.test(line)) listening.emit('ready')
      },
    })
    const silence = new AbortController()
    const outcome = await Promise.race([
      ready.then(() => 'ready' as const),
      this.#process.exited.then(() => 'ended' as const),
      delay(60_000, 'silent' as const, { signal: silence.signal }),
    ])
    silence.abort()
    if (outcome !== 'ready') throw this.#failure(outcome, port, lines.join('\n'))
  }

  #failure(outcome: 'ended' | 'silent', port: number, output: string): FleetError {
    const { engine, folder } = this.#options
    const { label } = engine
    if (inUse.test(output)) {
      const remedy = 'Stop the other one, or start in another folder.'
      return new FleetError('DATABASE_IN_USE', `Another database server already uses ${folder}. ${remedy}`)
    }
    if (portTaken.test(output)) {
      return new FleetError('PORT_IN_USE', `Port ${port} of 127.0.0.1 is taken, so ${label} can't listen on it.`)
    }
    const what = outcome === 'ended' ? 'ended before it was ready' : 'was not ready within 60 s'
    const last = output.split('\n').slice(-5).join('\n')
    return new FleetError('DATABASE_START_FAILED', `${label} ${what}. Its last lines:\n${last || '(none)'}`)
  }
}
