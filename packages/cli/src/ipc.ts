import { setTimeout as sleep } from 'node:timers/promises'
import { asError } from '@taskfleet/core'
import { FleetError, type TaskRow } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { TaskFactory, TaskRunner } from '@taskfleet/worker'
import { z } from 'zod'

/** The IPC channel to the parent process. */
export type ParentProcess = Pick<NodeJS.Process, 'on' | 'off' | 'connected'> & Required<Pick<NodeJS.Process, 'send'>>

/** The parent's result for a task with `notify: true`, after `claimed`. */
interface Answer {
  id: string
  /** The attempt; the running one when absent. */
  attempt?: number
  /** The error of a failure; undefined when the work was done. */
  error?: Error
  output?: unknown
}

/** How long to keep an answer that arrives before its attempt is ready. */
const EARLY_MS = 2_000
const LOOK_MS = 10
const MESSAGE_LIMIT = 10_000

/** @throws {FleetError} `BAD_REQUEST` when there is no channel to a parent */
export function parentProcess(own: NodeJS.Process = process): ParentProcess {
  if (own.send === undefined) {
    const remedy = "start it with Node's fork(), or spawn() with 'ipc' in stdio"
    throw new FleetError('BAD_REQUEST', `--ipc is for a worker with a parent process: ${remedy}`)
  }
  return own as ParentProcess
}

/**
 * Sends a runner's events to the parent process, and takes its results for tasks with `notify: true`. An invalid message is answered with
 * an error, and never ends this process.
 */
export class ParentLink {
  /** Resolves when the parent has ended or closed the channel. */
  readonly gone: Promise<void>
  readonly #parent: ParentProcess
  readonly #runner: TaskRunner
  /** Names of the tasks that the parent carries out. */
  readonly #notified: ReadonlySet<string>
  /** Ids of the tasks that the parent works on. */
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
    this.#sendEvents()
  }

  /** Stops listening to the parent, so that this process can end. */
  close(): void {
    for (const undo of this.#undo.splice(0)) undo()
  }

  #sendEvents(): void {
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

  /** Sends the parent the abort of a cancelled, paused or lost attempt. */
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

  /** Without the parent there will be no results, so its tasks are released at once. */
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
      throw new FleetError('STALE_ATTEMPT', `The task ${id} is in attempt ${running}, not ${attempt}`)
    }
    for (const until = performance.now() + EARLY_MS; ; await sleep(LOOK_MS)) {
      try {
        if (answer.error === undefined) this.#runner.complete(id, answer.output)
        else this.#runner.fail(id, answer.error)
        return
      } catch (error) {
        // `claimed` was sent before, and the input may still be checked.
        const waits = run !== undefined && this.#notified.has(run.claim.task.name) && this.#runner.attempt(id) === run
        if (!waits || performance.now() > until || !(error instanceof FleetError) || error.code !== 'NOT_RUNNING')
          throw error
      }
    }
  }

  #send(message: object): void {
    if (!this.#parent.connected) return
    // If a message can't be delivered, `disconnect` follows.
    this.#parent.send(message, undefined, undefined, () => undefined)
  }
}

const id = z.string().regex(/^[0-9a-f]{24}$/)
const attempt = z.int().optional()
const failure = z.object({ code: z.string(), message: z.string() }).partial()
const answerShape = z.union([
  z.object({ complete: id, fail: z.undefined().optional(), attempt, output: z.unknown().optional() }),
  z.object({ fail: id, complete: z.undefined().optional(), attempt, error: z.union([failure, z.string()]).nullish() }),
])

/** @throws {FleetError} `BAD_MESSAGE` */
function parseAnswer(received: unknown): Answer {
  const { data } = answerShape.safeParse(received)
  if (data === undefined) {
    const shapes = '{ complete: ID, attempt?, output? } or { fail: ID, attempt?, error? }'
    throw new FleetError('BAD_MESSAGE', `A message must be ${shapes}; an error is a text or { code?, message? }`)
  }
  const which = given({ attempt: data.attempt })
  if (data.fail === undefined) return { id: data.complete, ...which, output: data.output }
  const error: z.infer<typeof failure> = typeof data.error === 'string' ? { message: data.error } : (data.error ?? {})
  return { id: data.fail, ...which, error: outsideError(error.code, error.message) }
}

const outsideError = (code = 'FAILED_OUTSIDE', message = 'The parent process reported a failure'): FleetError =>
  new FleetError(code.slice(0, 100), message.slice(0, MESSAGE_LIMIT))

/** The id in a message, if it has one. */
function idOf(message: unknown): { id?: string } {
  const { complete, fail } = (message ?? {}) as Record<string, unknown>
  const id = complete ?? fail
  return typeof id === 'string' ? { id: id.slice(0, 100) } : {}
}
