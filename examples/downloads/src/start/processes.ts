import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { FleetError } from '@taskfleet/protocol'

export interface Listening {
  url: string
  worker: string
}

/** How long a process may take to stop in order. */
const STOP_MS = 15_000

/** One of the demonstration's processes: the real command, as a user would start it. */
export class FleetProcess {
  readonly name: string
  readonly listening: Listening
  readonly #child: ChildProcess

  constructor(name: string, listening: Listening, child: ChildProcess) {
    this.name = name
    this.listening = listening
    this.#child = child
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** As a power cut would. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

/**
 * All processes that `start` has started, those that are not ready yet included. None of them outlives it: each holds the
 * other end of a pipe, which ends with `start`, and stops then by itself.
 */
export class FleetProcesses {
  readonly #running = new Map<ChildProcess, Promise<unknown>>()
  readonly #others: (() => Promise<void>)[] = []

  /** @throws {FleetError} `NOT_STARTED` with what the process said last */
  async start(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<FleetProcess> {
    const main = fileURLToPath(import.meta.resolve('taskfleet/main'))
    const child = spawn(process.execPath, [main, ...args, '--name', name, '--stop-with-parent'], {
      env: { MALLOC_ARENA_MAX: '1', ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      // Ctrl-C reaches this process alone, which stops the others in order.
      detached: true,
    })
    const exited = once(child, 'exit')
    this.#running.set(child, exited)
    exited.finally(() => this.#running.delete(child)).catch(() => undefined)
    // A child that has just gone leaves a broken pipe, which is no news.
    child.stdin.on('error', () => undefined)
    const said: string[] = []
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line)
      if (said.length > 20) said.shift()
      if (process.env.TASKFLEET_VERBOSE === '1') process.stderr.write(`${name}: ${line}\n`)
    })
    const lines = createInterface({ input: child.stdout })
    const first = await Promise.race([once(lines, 'line').then(([line]) => String(line)), exited.then(() => undefined)])
    if (first === undefined) throw new FleetError('NOT_STARTED', `${name} did not start:\n${said.join('\n')}`)
    return new FleetProcess(name, JSON.parse(first) as Listening, child)
  }

  /** Asks all of them to end in order; insists after a while. */
  async stop(): Promise<void> {
    for (const child of this.#running.keys()) child.kill('SIGTERM')
    const insist = setTimeout(() => this.#killStarted(), STOP_MS)
    await this.#allExited()
    clearTimeout(insist)
  }

  /** @param kill ends a process that was started otherwise, such as the database */
  include(kill: () => Promise<void>): void {
    this.#others.push(kill)
  }

  /** Ends all of them at once. Resolves when they have gone. */
  async kill(): Promise<void> {
    this.#killStarted()
    await Promise.allSettled([this.#allExited(), ...this.#others.map((kill) => kill())])
  }

  #killStarted(): void {
    for (const child of this.#running.keys()) child.kill('SIGKILL')
  }

  async #allExited(): Promise<void> {
    await Promise.allSettled(this.#running.values())
  }
}
