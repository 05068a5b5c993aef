import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { FROM_SOURCES, ISOLATE_PROCESS } from '../files.ts'
import { processArguments } from './exec-argv.ts'
import type {
  Crash,
  Described,
  IsolatePool,
  Occupant,
  Order,
  PoolOptions,
  Report,
  Seat,
  SeatRequest,
} from './messages.ts'

const MAIN = fileURLToPath(ISOLATE_PROCESS)
const LAST_WORDS = 4_000
/** How long to wait for the pipes of a dead process, which its children may hold open. */
const CLOSE_MS = 500
/** How long a process may take to end before it is killed. */
const END_MS = 2_000

/** Processes that run one task at a time each, kept for the next task of the same module. */
export class ProcessPool implements IsolatePool {
  readonly #options: PoolOptions
  readonly #all = new Set<HandlerProcess>()
  readonly #idle = new Map<HandlerProcess, { fits: string; timer: NodeJS.Timeout }>()

  /** Processes end by themselves after their worker. At an orderly exit they are ended before it. */
  readonly #onExit = (): void => {
    for (const child of this.#all) child.killNow()
  }

  constructor(options: PoolOptions) {
    this.#options = options
    process.on('exit', this.#onExit)
  }

  take(request: SeatRequest, occupant: Occupant): Seat {
    const fits = `${request.memoryMb ?? ''} ${request.module}`
    const child = this.#takeIdle(fits) ?? this.#start(request)
    child.seat(occupant)
    return {
      send: (order) => child.send(order),
      kill: () => child.kill(),
      free: () => {
        child.leave()
        // After an uncaught error a process is not used again.
        if (child.alive && child.leaked) void child.end()
        else if (child.alive) this.#keep(child, fits)
      },
    }
  }

  async stop(): Promise<void> {
    for (const { timer } of this.#idle.values()) clearTimeout(timer)
    const idle = [...this.#idle.keys()]
    this.#idle.clear()
    await Promise.all([...this.#all].map((child) => (idle.includes(child) ? child.end() : child.kill())))
    process.off('exit', this.#onExit)
  }

  #takeIdle(fits: string): HandlerProcess | undefined {
    for (const [child, { fits: fitting, timer }] of this.#idle) {
      if (fitting !== fits) continue
      clearTimeout(timer)
      this.#idle.delete(child)
      if (child.alive) return child
    }
    return undefined
  }

  #start({ memoryMb }: SeatRequest): HandlerProcess {
    const child = new HandlerProcess(memoryMb, this.#options)
    this.#all.add(child)
    void child.gone.then(() => {
      clearTimeout(this.#idle.get(child)?.timer)
      if (this.#idle.delete(child) && !child.ending) {
        this.#options.log.warn({ pid: child.pid }, "a handler's process died between two tasks")
      }
      this.#all.delete(child)
    })
    return child
  }

  #keep(child: HandlerProcess, fits: string): void {
    const timer = setTimeout(() => {
      this.#idle.delete(child)
      void child.end()
    }, this.#options.idleMs)
    this.#idle.set(child, { fits, timer })
  }
}

/** One process, from its start to its end. */
class HandlerProcess {
  /** Whether this process was asked to end. */
  ending = false
  /** Resolves when the process has ended and, if it died by itself, its last output was read. */
  readonly gone: Promise<void>
  readonly #child: ChildProcess
  /** Whether an error of one of its handlers was not caught. */
  leaked = false
  readonly #log: Logger
  readonly #memoryMb: number | undefined
  #occupant: Occupant | undefined
  #lastWords = ''
  #uncaught: Described | undefined
  #failure: Error | undefined

  constructor(memoryMb: number | undefined, { log, env }: PoolOptions) {
    this.#memoryMb = memoryMb
    this.#log = log
    this.#child = fork(MAIN, [String(memoryMb ?? '')], {
      serialization: 'advanced',
      env: env(),
      execArgv: processArguments({ memoryMb, fromSources: FROM_SOURCES }),
      // The last one is the lifeline. It closes however this process dies.
      stdio: ['ignore', 'inherit', 'pipe', 'ipc', 'pipe'],
      // A process group of its own: the handler's children end with it, and only the worker gets a Ctrl-C.
      detached: process.platform !== 'win32',
    })
    this.#child.on('message', (report: Report) => this.#receive(report))
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      process.stderr.write(chunk)
      this.#lastWords = (this.#lastWords + chunk.toString()).slice(-LAST_WORDS)
    })
    for (const pipe of this.#child.stdio.slice(2)) pipe?.on('error', () => undefined)
    this.gone = this.#watch()
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get alive(): boolean {
    return !this.ending && this.#child.connected && this.#child.exitCode === null && this.#child.signalCode === null
  }

  seat(occupant: Occupant): void {
    this.#occupant = occupant
    // Earlier output does not explain a later crash.
    this.#lastWords = ''
  }

  leave(): void {
    this.#occupant = undefined
  }

  send(order: Order): void {
    // If it has just died, `exit` follows.
    if (this.#child.connected) this.#child.send(order, () => undefined)
  }

  /** Asks it to end; one that has nothing to do does so at once. */
  async end(): Promise<void> {
    this.ending = true
    if (this.#child.connected) this.#child.disconnect()
    const slow = setTimeout(() => this.killNow(), END_MS)
    await this.gone.finally(() => clearTimeout(slow))
  }

  async kill(): Promise<void> {
    this.ending = true
    this.killNow()
    await this.gone
  }

  #receive(report: Report): void {
    if (report.kind === 'uncaught') this.#uncaught = report.error
    else if (report.kind === 'late') {
      this.#log.error(
        { task: report.task, err: report.error },
        'an uncaught error of a handler in a process, after its end',
      )
    } else {
      if (report.kind === 'leaked') this.leaked = true
      this.#occupant?.onReport(report)
    }
  }

  async #watch(): Promise<void> {
    const child = this.#child
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
    await new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.on('error', (error) => {
        this.#failure = error
        // A process that could not be started emits no `exit`.
        if (child.pid === undefined) resolve()
      })
    })
    // Ends the handler's children.
    this.killNow()
    // Its last output matters only if it died by itself. After `disconnect`, 'close' would not be emitted.
    if (child.pid !== undefined && !this.ending) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_MS)
      })
      await Promise.race([closed, late])
      clearTimeout(timer)
    }
    const occupant = this.#occupant
    this.#occupant = undefined
    occupant?.onCrash(this.#crash())
  }

  /** Kills the process group. */
  killNow(): void {
    const { pid } = this.#child
    if (pid === undefined) return
    try {
      if (process.platform === 'win32') this.#child.kill('SIGKILL')
      else process.kill(-pid, 'SIGKILL')
    } catch {
      // It has ended already.
    }
  }

  #crash(): Crash {
    return {
      how: this.#how(),
      ...(this.#lastWords === '' ? {} : { lastWords: this.#lastWords }),
      ...(this.#uncaught === undefined ? {} : { uncaught: this.#uncaught }),
    }
  }

  #how(): string {
    const { exitCode, signalCode, pid } = this.#child
    if (pid === undefined) return `could not be started: ${this.#failure?.message ?? 'no reason given'}`
    const end = signalCode === null ? `exited with code ${exitCode}` : `was ended by ${signalCode}`
    // V8 writes this before it aborts, and our own watch before it kills.
    if (!/out of memory/.test(this.#lastWords)) return end
    const limit = this.#memoryMb === undefined ? '' : ` (memoryMb is ${this.#memoryMb})`
    return `ran out of memory${limit} and ${end}`
  }
}
