import { asError } from '@taskfleet/core'
import { AttemptAborted } from '@taskfleet/protocol'
import type { TaskRunner } from '@taskfleet/worker'
import { AttemptBoundary } from '@taskfleet/worker/internal'
import type { Logger } from 'pino'

/**
 * Handles errors that belong to no attempt, and handlers that call `process.exit`.
 *
 * After an error of unknown origin the process may be broken, so it releases its tasks and ends, for its supervisor to restart it.
 * If exactly one handler runs in the process, the error counts as its failure. Otherwise a task that
 * causes such errors would be released and cause them again for ever.
 */
export class UnownedErrors {
  /** Resolves with the first such error. */
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
      this.#log.error({ err, tasks }, 'another error that belongs to no task')
      return
    }
    this.#isBroken = true
    const only = running.length === 1 ? running[0] : undefined
    this.#log.fatal(
      { err, tasks, ...(only === undefined ? {} : { blamed: only.id }) },
      only === undefined
        ? 'an error belongs to no task; this worker releases its tasks and ends'
        : 'an error belongs to no task; the only running task fails with it, and this worker ends',
    )
    only?.boundary.leaked(thrown)
    this.#break(err)
  }
}

/** Makes a handler fail that calls `process.exit`, which would end other tasks too. Returns the undo. */
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
