import { asError } from '@taskfleet/core'
import { AttemptAborted } from '@taskfleet/protocol'
import type { TaskRunner } from '@taskfleet/worker'
import { AttemptBoundary } from '@taskfleet/worker/internal'
import type { Logger } from 'pino'

/**
 * What threatens the worker's process itself: errors that come out of no attempt, and handlers that end the process.
 *
 * After an error of unknown origin nobody knows what still works, so the process gives its tasks back and ends; whoever
 * supervises it starts it anew. Where one handler alone runs in the process, the error counts as that one's failure: given
 * back, a guilty one would do the same again for ever.
 */
export class NobodysErrors {
  /** Resolves with the first of them. */
  readonly broken: Promise<Error>
  readonly #log: Logger
  readonly #undo: (() => void)[] = []
  #runner: Pick<TaskRunner, 'runningHere'> | undefined
  #break!: (error: Error) => void
  #isBroken = false

  constructor(log: Logger) {
    this.#log = log
    this.broken = new Promise((resolve) => {
      this.#break = resolve
    })
    process.on('uncaughtException', this.#onError)
    process.on('unhandledRejection', this.#onError)
    this.#undo.push(() => process.off('uncaughtException', this.#onError).off('unhandledRejection', this.#onError))
    this.#undo.push(keepExit())
  }

  watch(runner: Pick<TaskRunner, 'runningHere'>): void {
    this.#runner = runner
  }

  close(): void {
    for (const undo of this.#undo.splice(0)) undo()
  }

  readonly #onError = (thrown: unknown): void => {
    const err = asError(thrown)
    const running = this.#runner?.runningHere ?? []
    const tasks = running.map(({ id }) => id)
    if (this.#isBroken) {
      this.#log.error({ err, tasks }, 'one more error that no task can be blamed for')
      return
    }
    this.#isBroken = true
    const only = running.length === 1 ? running[0] : undefined
    this.#log.fatal(
      { err, tasks, ...(only === undefined ? {} : { blamed: only.id }) },
      only === undefined
        ? 'an error came from outside of all tasks; this worker gives its tasks back and ends'
        : 'an error came from outside of all tasks while one alone ran here: it fails by it, and this worker ends',
    )
    only?.boundary.leaked(thrown)
    this.#break(err)
  }
}

/** A handler that calls `process.exit` would take its neighbours along: it fails instead. Returns the undo. */
function keepExit(): () => void {
  const { exit } = process
  process.exit = (code) => {
    const boundary = AttemptBoundary.current
    if (boundary === undefined) return exit.call(process, code)
    const error = new AttemptAborted(
      'UNHANDLED_IN_HANDLER',
      `The handler called process.exit(${code ?? ''}): return or throw instead, or give it a process with isolate: 'process'`,
    )
    boundary.leaked(error)
    throw error
  }
  return () => {
    process.exit = exit
  }
}
