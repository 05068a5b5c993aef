import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { FleetError } from '@taskfleet/core'

export interface Listening {
  url: string
  worker: string
}

/** One of the demonstration's processes: the real command, as a user would start it. */
export class FleetProcess {
  readonly name: string
  readonly listening: Listening
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>

  private constructor(name: string, listening: Listening, child: ChildProcess) {
    this.name = name
    this.listening = listening
    this.#child = child
    this.#exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : Promise.resolve()
  }

  /** @throws {FleetError} `NOT_STARTED` with what the process said last */
  static async start(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<FleetProcess> {
    const main = fileURLToPath(import.meta.resolve('@taskfleet/worker/main'))
    const child = spawn(process.execPath, [main, ...args, '--name', name], {
      env: { MALLOC_ARENA_MAX: '1', ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Ctrl-C reaches this process alone, which stops the others in order.
      detached: true,
    })
    const said: string[] = []
    createInterface({ input: child.stderr! }).on('line', (line) => {
      said.push(line)
      if (said.length > 20) said.shift()
      if (process.env.TASKFLEET_VERBOSE === '1') process.stderr.write(`${name}: ${line}\n`)
    })
    const lines = createInterface({ input: child.stdout! })
    const first = await Promise.race([
      once(lines, 'line').then(([line]) => String(line)),
      once(child, 'exit').then(() => undefined),
    ])
    if (first === undefined) throw new FleetError('NOT_STARTED', `${name} did not start:\n${said.join('\n')}`)
    return new FleetProcess(name, JSON.parse(first) as Listening, child)
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** As a power cut would. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Asks it to end in order; insists after a while. */
  async stop(): Promise<void> {
    if (!this.alive) return
    this.#child.kill('SIGTERM')
    const insist = setTimeout(() => this.#child.kill('SIGKILL'), 15_000)
    await this.#exited
    clearTimeout(insist)
  }
}
