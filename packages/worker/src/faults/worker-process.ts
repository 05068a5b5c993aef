import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

/** A worker as users start it: the built command in a process of its own. */
export class WorkerProcess {
  readonly id: string
  readonly #child: ChildProcess

  private constructor(id: string, child: ChildProcess) {
    this.id = id
    this.#child = child
  }

  static async start(options: { mongo: string; tasks: string; args?: readonly string[] }): Promise<WorkerProcess> {
    const args = [MAIN, 'worker', '--tasks', options.tasks, '--log-level', 'warn', ...(options.args ?? [])]
    const child = spawn(process.execPath, args, {
      env: { ...process.env, TASKFLEET_MONGO_URI: options.mongo },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const [line] = await once(createInterface({ input: child.stdout }), 'line')
    return new WorkerProcess((JSON.parse(String(line)) as { worker: string }).worker, child)
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Sends a signal; resolves when the process has gone, unless it is only stopped or continued. */
  async signal(name: NodeJS.Signals): Promise<void> {
    if (!this.alive) return
    const gone = once(this.#child, 'exit')
    this.#child.kill(name)
    if (name !== 'SIGSTOP' && name !== 'SIGCONT') await gone
  }
}
