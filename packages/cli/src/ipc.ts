import { setTimeout as sleep } from 'node:timers/promises'
import { asError } from '@taskfleet/core'
import { FleetError, type TaskRow } from '@taskfleet/protocol'
import type { TaskFactory, TaskRunner } from '@taskfleet/worker'

/** The end of an IPC channel that a process started with one has. */
export type ParentProcess = Pick<NodeJS.Process, 'on' | 'off' | 'connected'> & Required<Pick<NodeJS.Process, 'send'>>

/** What the parent reports of a task with `notify: true`, after it got `claimed`. */
interface Answer {
  id: string
  /** Which attempt is meant; whichever runs when it is absent. */
  attempt?: number
  /** What it failed with; undefined when it was done. */
  error?: Error
  output?: unknown
}

/** How long an answer that comes before its attempt is ready for one is held. */
const EARLY_MS = 2_000
const LOOK_MS = 10
const MESSAGE_LIMIT = 10_000

/** @throws {FleetError} `BAD_REQUEST` when there is no channel to a parent */
export function parentProcess(own: NodeJS.Process = process): ParentProcess {
  if (own.send === undefined) {
    throw new FleetError(
      'BAD_REQUEST',
      "--ipc is for a worker with a parent process: start it with Node's fork(), or spawn() with 'ipc' in stdio",
    )
  }
  return own as ParentProcess
}

/**
 * Reports to the parent process what a runner does, and takes its results for tasks with `notify: true`. A message that makes no
 * sense is answered; nothing that the parent sends ends this process.
 */
export class ParentLink {
  /** Resolves when the parent is gone or has closed the channel. */
  readonly gone: Promise<void>
  readonly #parent: ParentProcess
  readonly #runner: TaskRunner
  /** Names of the tasks that the parent does. */
  readonly #notified: ReadonlySet<string>
  /** Ids of those that it works on. */
  readonly #outside = new Set<string>()
  readonly #undo: (() => void)[] = []

  constructor(parent: ParentProcess, runner: TaskRunner, tasks: readonly TaskFactory[]) {
    this.#parent = parent
    this.#runner = runner
    this.#notified = new Set(tasks.filter(({ notify }) => notify).map(({ name }) => name))
    this.gone = new Promise((resolve) => {
      const onGone = (): void => {
        this.#giveBack()
        resolve()
      }
      parent.on('disconnect', onGone)
      if (!parent.connected) onGone()
      this.#undo.push(() => parent.off('disconnect', onGone))
    })
    const onMessage = (message: unknown): void => void this.#onMessage(message)
    parent.on('message', onMessage)
    this.#undo.push(() => parent.off('message', onMessage))
    this.#tellEvents()
  }

  /** Listens to the parent no more, so that this process may end. */
  close(): void {
    for (const undo of this.#undo.splice(0)) undo()
  }

  #tellEvents(): void {
    const runner = this.#runner
    const ended = (task: TaskRow): void => void this.#outside.delete(task._id)
    runner.on('due', ({ id, name }) => this.#send({ event: 'due', task: { _id: id, name } }))
    runner.on('claimed', ({ task }) => {
      this.#send({ event: 'claimed', task })
      if (this.#notified.has(task.name)) this.#watchAbort(task)
    })
    runner.on('success', ({ task, output }) => {
      ended(task)
      this.#send({ event: 'success', task, output })
    })
    runner.on('fail', ({ task, error }) => {
      ended(task)
      this.#send({ event: 'fail', task, error })
    })
    runner.on('retry', ({ task, error, delayMs }) => {
      ended(task)
      this.#send({ event: 'retry', task, error, delayMs })
    })
    runner.on('idle', () => this.#send({ event: 'idle' }))
  }

  /** A cancelled, paused or lost attempt is not to be worked on any longer. */
  #watchAbort(task: TaskRow): void {
    const signal = this.#runner.attempt(task._id)?.signal
    if (signal === undefined) return
    this.#outside.add(task._id)
    const notify = (): void => {
      this.#outside.delete(task._id)
      const { message, code = 'ABORTED' } = asError(signal.reason) as Error & { code?: string }
      this.#send({ event: 'abort', task, error: { code, message } })
    }
    if (signal.aborted) notify()
    else signal.addEventListener('abort', notify, { once: true })
  }

  /** Nobody is left to answer for them: they go on elsewhere at once. */
  #giveBack(): void {
    for (const id of this.#outside) this.#runner.attempt(id)?.abort('SHUTDOWN', 'The parent process is gone')
  }

  async #onMessage(message: unknown): Promise<void> {
    try {
      await this.#settle(parseAnswer(message))
    } catch (error) {
      const { message: text, code = 'FAILED' } = asError(error) as Error & { code?: string }
      this.#send({ event: 'error', error: { code, message: text }, ...idOf(message) })
    }
  }

  /** @throws {FleetError} `NOT_RUNNING`, `STALE_ATTEMPT` */
  async #settle(answer: Answer): Promise<void> {
    const { id, attempt } = answer
    const run = this.#runner.attempt(id)
    const running = run?.claim.task.attempt
    if (attempt !== undefined && running !== undefined && running !== attempt) {
      throw new FleetError('STALE_ATTEMPT', `The task ${id} is at attempt ${running}, not ${attempt}`)
    }
    for (const until = performance.now() + EARLY_MS; ; await sleep(LOOK_MS)) {
      try {
        if (answer.error === undefined) this.#runner.complete(id, answer.output)
        else this.#runner.fail(id, answer.error)
        return
      } catch (error) {
        // It was reported when it was claimed; its input may still be on the way through its checks.
        const waits = run !== undefined && this.#notified.has(run.claim.task.name) && this.#runner.attempt(id) === run
        if (!waits || performance.now() > until || !(error instanceof FleetError) || error.code !== 'NOT_RUNNING')
          throw error
      }
    }
  }

  #send(message: object): void {
    if (!this.#parent.connected) return
    // What can't be delivered has no reader: `disconnect` follows.
    this.#parent.send(message, undefined, undefined, () => undefined)
  }
}

/** @throws {FleetError} `BAD_MESSAGE` */
function parseAnswer(message: unknown): Answer {
  const { complete, fail, attempt, output, error } = (message ?? {}) as Record<string, unknown>
  const bad = (why: string): FleetError =>
    new FleetError('BAD_MESSAGE', `A message is { complete: ID, output? } or { fail: ID, error? }: ${why}`)
  if (typeof message !== 'object' || message === null || Array.isArray(message)) throw bad('this is no object')
  if ((complete === undefined) === (fail === undefined)) throw bad("exactly one of 'complete' and 'fail' is wanted")
  const id = complete ?? fail
  if (typeof id !== 'string' || !/^[0-9a-f]{24}$/.test(id)) throw bad('the id is 24 hexadecimal digits')
  if (attempt !== undefined && !Number.isInteger(attempt)) throw bad("'attempt' is a number")
  const which = attempt === undefined ? { id } : { id, attempt: attempt as number }
  return complete === undefined ? { ...which, error: parseError(error, bad) } : { ...which, output }
}

function parseError(error: unknown, bad: (why: string) => FleetError): Error {
  const code = 'FAILED_OUTSIDE'
  if (error === undefined || error === null) return new FleetError(code, 'The parent process reported that it failed')
  if (typeof error === 'string') return new FleetError(code, error.slice(0, MESSAGE_LIMIT))
  const reported = error as { code?: unknown; message?: unknown }
  const { code: ownCode = code, message = 'The parent process reported that it failed' } = reported
  if (typeof error !== 'object' || typeof ownCode !== 'string' || typeof message !== 'string') {
    throw bad("'error' is a text, or { code?, message? } of texts")
  }
  return new FleetError(ownCode.slice(0, 100), message.slice(0, MESSAGE_LIMIT))
}

/** Which task a message is about, as far as that is known. */
function idOf(message: unknown): { id?: string } {
  const { complete, fail } = (message ?? {}) as Record<string, unknown>
  const id = complete ?? fail
  return typeof id === 'string' ? { id: id.slice(0, 100) } : {}
}
