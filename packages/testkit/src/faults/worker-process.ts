import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import { MAIN } from '../fleet/command.ts'

/** Built, as it runs in a process of its own. */
const ARM = new URL('../../dist/faults/arm.js', import.meta.url).href

export interface WorkerProcessOptions {
  mongo: string
  /** The file that exports its tasks. */
  tasks: string
  args?: readonly string[]
  env?: NodeJS.ProcessEnv
}

/** Whoever runs the tests may have other work on the machine: that must not keep tasks waiting. */
const OPEN_GATE = JSON.stringify({
  cpu: { lazy: null },
  memoryLeft: { lazy: null, all: null },
  eventLoopDelayMs: { lazy: null, all: null },
})

/** A worker as users start it: the built command in a process of its own. */
export class WorkerProcess {
  readonly id: string
  readonly #child: ChildProcess
  readonly #output: Output

  private constructor(id: string, child: ChildProcess, output: Output) {
    this.id = id
    this.#child = child
    this.#output = output
  }

  static async start({ mongo, tasks, args = [], env = {} }: WorkerProcessOptions): Promise<WorkerProcess> {
    const command = [
      ...(env.TASKFLEET_FAULTS === undefined ? [] : ['--import', ARM]),
      MAIN,
      'worker',
      '--tasks',
      tasks,
      '--log-level',
      'warn',
      '--gate',
      OPEN_GATE,
      ...args,
    ]
    const child = spawn(process.execPath, command, {
      env: { ...process.env, ...env, TASKFLEET_MONGO_URI: mongo },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const output = new Output(child)
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the worker ended with ${code} before it was ready:\n${output}`)
    })
    const line = await Promise.race([output.line('"listening"'), ended])
    ended.catch(() => undefined)
    return new WorkerProcess((JSON.parse(line) as { worker: string }).worker, child, output)
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Resolves with the first line that holds the text, on whichever output, be it said already or still to come. */
  said(text: string): Promise<string> {
    return this.#output.line(text)
  }

  /** Resolves when the process has ended. */
  async gone(): Promise<void> {
    if (this.alive) await once(this.#child, 'exit')
  }

  /** Sends a signal; resolves when the process has gone, unless it is only stopped or continued. */
  async signal(name: NodeJS.Signals): Promise<void> {
    if (!this.alive) return
    const gone = once(this.#child, 'exit')
    this.#child.kill(name)
    if (name !== 'SIGSTOP' && name !== 'SIGCONT') await gone
  }
}

/** What a process has said, line by line; the latest lines are kept. */
class Output extends EventEmitter<{ line: [string] }> {
  readonly #lines: string[] = []

  constructor({ stdout, stderr }: ChildProcess) {
    super()
    this.setMaxListeners(0)
    for (const input of [stdout!, stderr!]) {
      createInterface({ input }).on('line', (line) => {
        this.#lines.push(line)
        if (this.#lines.length > 1_000) this.#lines.shift()
        this.emit('line', line)
      })
    }
  }

  line(text: string): Promise<string> {
    return new Promise((resolve) => {
      const look = (line: string): void => {
        if (!line.includes(text)) return
        this.off('line', look)
        resolve(line)
      }
      this.on('line', look)
      const said = this.#lines.find((line) => line.includes(text))
      if (said !== undefined) look(said)
    })
  }

  override toString(): string {
    return this.#lines.join('\n')
  }
}
