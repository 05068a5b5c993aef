import type { RunningTask } from './running-task.ts'
import type { TaskFactory } from './task-factory.ts'

/** Attempts while their session can't be proved. */
export class Doubt {
  readonly #timers = new Map<RunningTask, NodeJS.Timeout>()
  #since: number | undefined

  get active(): boolean {
    return this.#since !== undefined
  }

  begin(): void {
    this.#since = performance.now()
  }

  /** Aborts the attempt when it has gone on for as long as its handler allows. */
  apply(run: RunningTask, { inDoubtMs }: Pick<TaskFactory, 'inDoubtMs'>): void {
    if (this.#since === undefined || this.#timers.has(run)) return
    const abort = (): void =>
      run.abort('IN_DOUBT', 'The database does not answer, so this worker can not prove its lease')
    const left = inDoubtMs - (performance.now() - this.#since)
    if (left <= 0) abort()
    else this.#timers.set(run, setTimeout(abort, left).unref())
  }

  ended(run: RunningTask): void {
    clearTimeout(this.#timers.get(run))
    this.#timers.delete(run)
  }

  /** Called when the session was proved again, or has ended. Returns how long the doubt lasted, in milliseconds. */
  end(): number {
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
    const lastedMs = this.#since === undefined ? 0 : performance.now() - this.#since
    this.#since = undefined
    return lastedMs
  }
}
