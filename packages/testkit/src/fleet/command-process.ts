import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'

/** How a process ended. */
type Exit = [code: number | null, signal: NodeJS.Signals | null]

const LINES_KEPT = 1_000

/** A Node process and the latest lines of its stdout and stderr. */
export class CommandProcess {
  readonly lines: string[] = []
  readonly exited: Promise<Exit>
  /** Resolves with the exit code once all output was read. */
  readonly closed: Promise<number | null>
  readonly #child: ChildProcess
  readonly #changes = new EventEmitter<{ change: [] }>().setMaxListeners(0)
  #isClosed = false

  /** @param args the script and its arguments */
  constructor(args: readonly string[], { env = {}, cwd }: { env?: NodeJS.ProcessEnv; cwd?: string } = {}) {
    const child = spawn(process.execPath, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    this.exited = once(child, 'exit') as Promise<Exit>
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on('line', (line) => {
        this.lines.push(line)
        if (this.lines.length > LINES_KEPT) this.lines.shift()
        this.#changes.emit('change')
      })
    }
    this.closed = once(child, 'close').then(([code]) => {
      this.#isClosed = true
      this.#changes.emit('change')
      return code as number | null
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Resolves with the first matching line, printed before or after the call. @throws {Error} when it ends without one */
  line(wanted: string | RegExp): Promise<string> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.lines.find((line) =>
          typeof wanted === 'string' ? line.includes(wanted) : wanted.test(line),
        )
        if (found !== undefined) resolve(found)
        else if (this.#isClosed)
          reject(new Error(`the process ended without a line like ${wanted}:\n${this.lines.join('\n')}`))
        else return
        this.#changes.off('change', look)
      }
      this.#changes.on('change', look)
      look()
    })
  }

  /** Resolves when the process has ended, unless the signal only stops or continues it. */
  async signal(name: NodeJS.Signals): Promise<void> {
    if (!this.alive) return
    this.#child.kill(name)
    if (name !== 'SIGSTOP' && name !== 'SIGCONT') await this.exited
  }
}
