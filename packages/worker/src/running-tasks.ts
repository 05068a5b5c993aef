import { asError, type TaskDocument } from '@taskfleet/core'
import type { Claim } from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import { runAttempt } from './run-attempt.ts'
import { RunningTask } from './running-task.ts'
import type { Worker } from './worker.ts'

type Control = NonNullable<TaskDocument['control']>

/** The answer to a claim takes about so long. */
const CLAIM_MS = 20

/** The tasks that this worker holds: each begins with a claim, and hears what others want of it. */
export class RunningTasks {
  readonly #worker: Worker
  readonly #log: Logger
  readonly #byId = new Map<string, RunningTask>()
  /** Whether `idle` was emitted and nothing has begun since. */
  #idle = false

  constructor(worker: Worker) {
    this.#worker = worker
    this.#log = worker.settings.log
  }

  get size(): number {
    return this.#byId.size
  }

  get all(): RunningTask[] {
    return [...this.#byId.values()]
  }

  get(id: string): RunningTask | undefined {
    return this.#byId.get(id)
  }

  begin(claim: Claim): void {
    const { settings, queues, suspects, doubt, loop, underWay } = this.#worker
    const { queue, name } = claim.task
    const run = new RunningTask(claim, this.#log)
    this.#idle = false
    this.#byId.set(run.id, run)
    queues.limits.began(queue)
    queues.limits.seen(run.id, claim.task)
    suspects.began(run)
    doubt.apply(run, settings.factories.get(name)!)
    const end = runAttempt(run, this.#worker)
      .catch((error: unknown) =>
        this.#log.error({ err: asError(error), task: run.id }, 'an attempt could not be carried out'),
      )
      .finally(() => {
        // Its next attempt may be here already.
        if (this.#byId.get(run.id) === run) this.#byId.delete(run.id)
        queues.limits.ended(queue)
        doubt.ended(run)
        suspects.cleared(run)
        loop.freed()
      })
    underWay.add(end)
  }

  /** What somebody asked of a running task, by its document. */
  obey(id: string, control: Pick<Control, 'action' | 'by'> & { reason?: string }): void {
    const run = this.#byId.get(id)
    if (run === undefined) {
      if (this.#worker.loop.claiming) setTimeout(() => this.obey(id, control), CLAIM_MS)
      return
    }
    const because = control.reason === undefined ? '' : `: ${control.reason}`
    if (control.action === 'cancel') run.abort('CANCELLED', `Cancelled by ${control.by}${because}`)
    else run.abort('PAUSED', `Paused by ${control.by}${because}`)
  }

  /** Gives up what somebody else has ended or removed. A change that is older than the claim says nothing of it. */
  check(id: string, task: TaskDocument | null): void {
    const run = this.#byId.get(id)
    if (run === undefined || run.settling || task?.lease?.id === run.leaseId) return
    if (task !== null && task.rev <= run.claim.task.rev) return
    this.#log.warn({ task: id, status: task?.status }, 'a running task was taken away; the attempt is abandoned')
    this.lose(run)
  }

  lose(run: RunningTask): void {
    run.abort('LEASE_LOST', 'This worker does not hold the task any more; it may run elsewhere by now')
    this.#worker.emit('lost', { id: run.id, worker: run.session })
  }

  /** Nothing is due. */
  noteIdle(): void {
    const { loop, state, emit } = this.#worker
    if (this.size > 0 || loop.due > 0 || this.#idle || state !== 'running') return
    this.#idle = true
    emit('idle', {})
  }

  /** Gives back those whose handlers have not begun. */
  giveBackWaiting(): void {
    for (const run of this.all) if (!run.began) run.abort('SHUTDOWN', 'This worker shuts down')
  }

  giveBackAll(): void {
    for (const run of this.all) run.abort('SHUTDOWN', 'This worker shuts down; the task goes on elsewhere')
  }
}
