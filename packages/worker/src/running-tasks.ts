import { asError, type Fleet, type TaskDocument } from '@taskfleet/core'
import { type Claim, type End, endOfAttempt, type TaskError, TRANSITIONS, toFullRow } from '@taskfleet/core/internal'
import { FleetError, hasEnded, type TaskRow } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import { type Executed, executeTask, type Handling } from './execute-task.ts'
import type { HandlerContext } from './handler.ts'
import type { Emit } from './runner-options.ts'
import { RunningTask } from './running-task.ts'
import type { TaskFactory } from './task-factory.ts'
import type { Worker } from './worker.ts'

type Control = NonNullable<TaskDocument['control']>

/** How long a task that was claimed ahead may wait for a slot. */
const WAIT_MS = 1_000
/** About how long the answer to a claim takes. */
const CLAIM_MS = 20

/** The tasks that this worker holds. Each begins with a claim, and follows requests such as a cancel. */
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
    const { settings, queues, suspects, doubt, loop, underWay, budget } = this.#worker
    const { queue, name } = claim.task
    const run = new RunningTask(claim, this.#log)
    run.naming = settings.factories.get(name)!.naming(claim)
    this.#idle = false
    this.#byId.set(run.id, run)
    queues.limits.began(queue)
    queues.limits.seen(run.id, claim.task)
    suspects.began(run)
    doubt.apply(run, settings.factories.get(name)!)
    const end = this.#carryOut(run)
      .catch((error: unknown) =>
        this.#log.error({ err: asError(error), task: run.id }, 'an attempt failed unexpectedly'),
      )
      .finally(() => {
        // The next attempt of the task may run already.
        if (this.#byId.get(run.id) === run) this.#byId.delete(run.id)
        queues.limits.ended(queue)
        doubt.ended(run)
        suspects.cleared(run)
        loop.freed()
      })
    underWay.add(end)
    // The answer to its claim came after the shutdown had begun.
    if (budget.begun) this.giveBackWaiting()
  }

  /** Runs an attempt to its end, and reports the outcome. */
  async #carryOut(run: RunningTask): Promise<void> {
    const { settings, fleet, sessions, session, places, suspects, budget, emit } = this.#worker
    const task = toFullRow<TaskRow>('tasks', run.claim.task)
    const factory = settings.factories.get(task.name)!
    // With `notify`, the event follows after the check of the input, and has the input that a handler would get.
    if (!factory.notify) emit('claimed', { task })
    const executed = await executeTask(run, factory, {
      store: fleet.store,
      sessions,
      affinity: (name) => places.affinities.get(name),
      onMoved: (moved) => suspects.cleared(moved),
      onRefused: (refused) => session.refused(refused),
      refusal: (task, factory) => fleet.signing.refusal('task', task) ?? replayRefused(task, factory),
      clock: fleet.database.clock,
      log: this.#log,
      abortGraceMs: settings.abortGraceMs,
      secrets: settings.secrets,
      shutdown: budget,
      handle: (factory, context, run) => handle(factory, context, run, this.#worker),
      enter: () => this.#enter(run),
    })
    reportEnd(run, task, executed, this.#worker)
  }

  /** Resolves when a slot is free. A task that was claimed ahead and waits for long is left to other workers. */
  async #enter(run: RunningTask): Promise<() => void> {
    const { handlerSlots, ahead } = this.#worker
    const tooLong = ahead && setTimeout(() => this.#giveBackStuck(), WAIT_MS)
    const leave = await handlerSlots?.enter(run.signal)
    clearTimeout(tooLong)
    run.begin()
    const begunAt = performance.now()
    return () => {
      ahead?.ended(run.claim.task.name, performance.now() - begunAt)
      leave?.()
    }
  }

  #giveBackStuck(): void {
    this.#worker.ahead?.stuck()
    for (const run of this.all) if (!run.began) run.abort('SHUTDOWN', 'The slots of this worker stay busy')
  }

  /** Carries out the request to cancel or pause in a running task's document. */
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

  /** Abandons a task that another process has ended or removed. A change before the claim does not count. */
  check(id: string, task: TaskDocument | null): void {
    const run = this.#byId.get(id)
    if (run === undefined || run.settling || task?.lease?.id === run.leaseId) return
    if (task !== null && task.rev <= run.claim.task.rev) return
    this.#log.warn({ task: id, status: task?.status }, 'a running task was taken away; the attempt is abandoned')
    this.lose(run)
  }

  lose(run: RunningTask): void {
    run.abort('LEASE_LOST', 'This worker no longer holds the task; another worker may run it now')
    this.#worker.emit('lost', { id: run.id, worker: run.session })
  }

  /** Nothing is due. */
  noteIdle(): void {
    const { loop, state, emit } = this.#worker
    if (this.size > 0 || loop.due > 0 || this.#idle || state !== 'running') return
    this.#idle = true
    emit('idle', {})
  }

  /** Releases the tasks whose handlers have not begun. */
  giveBackWaiting(): void {
    for (const run of this.all) if (!run.began) run.abort('SHUTDOWN', 'This worker shuts down')
  }

  giveBackAll(): void {
    for (const run of this.all) run.abort('SHUTDOWN', 'This worker shuts down; the task goes on elsewhere')
  }
}

/** Checked by the worker as well, in case the document was written to the database directly. */
function replayRefused({ replayOf, attempts }: TaskDocument, { name, replay }: TaskFactory): FleetError | undefined {
  if (replay || (replayOf === undefined && !attempts.some(({ outcome }) => outcome === 'completed'))) return undefined
  return new FleetError('REPLAY_NOT_ALLOWED', `Tasks named '${name}' can't be replayed`)
}

/** Runs a handler in this process, in an isolate, or by the program around the runner. */
function handle(
  factory: TaskFactory,
  context: HandlerContext<unknown>,
  run: RunningTask,
  { outside, isolates, sessions, emit }: Worker,
): Handling {
  if (factory.notify) {
    const result = outside.wait(run)
    emit('claimed', { task: { ...toFullRow<TaskRow>('tasks', run.claim.task), input: context.input } })
    return { result }
  }
  if (isolates === undefined || factory.isolate === undefined) {
    return { result: run.boundary.run(() => factory.run(context as never)) }
  }
  return isolates.run(factory, context, {
    trustedUntil: () => sessions.trustedUntil(run.session),
    onLeak: (error) => run.boundary.leaked(error),
    readable: run.readable,
  })
}

function reportEnd(run: RunningTask, task: TaskRow, { outcome, settled }: Executed, worker: Worker): void {
  const { fleet, settings, reporter, session, underWay } = worker
  underWay.add(reporter.ended(run, settled.owned && settled.status === 'completed'))
  if (!settled.owned || outcome === null) {
    underWay.add(session.survived(run))
    settings.log.warn({ task: run.id }, 'the result is discarded: this worker no longer holds the task')
    run.end({ status: 'pending' })
    return
  }
  const { status } = settled
  noteEnd(run, { outcome: TRANSITIONS[outcome.verb].closes, status, host: settings.name }, fleet)
  const output = outcome.verb === 'complete' ? { output: outcome.output } : {}
  const failure = 'error' in outcome ? { error: outcome.error } : {}
  // If this fails, the reaper does it later.
  if (hasEnded(status)) underWay.add(fleet.store.unblock(run.claim.task._id))
  if (failure.error !== undefined) reportFailure(run, failure.error, worker)
  run.end({ status, ...output, ...failure })
  emitEnd({ ...task, status }, outcome, worker.emit)
}

function noteEnd(
  { claim }: RunningTask,
  end: Pick<End, 'host' | 'outcome' | 'status'>,
  { rollUps, database }: Fleet,
): void {
  rollUps.note(endOfAttempt(claim.task, end, database.clock.now()))
}

function emitEnd(task: TaskRow, outcome: NonNullable<Executed['outcome']>, emit: Emit): void {
  const { status } = task
  if (status === 'completed') emit('success', { task, output: outcome.verb === 'complete' ? outcome.output : null })
  else if (status === 'failed' && 'error' in outcome) emit('fail', { task, error: outcome.error })
  else if (status === 'pending' && (outcome.verb === 'retry' || outcome.verb === 'defer')) {
    emit('retry', { task, error: outcome.error, delayMs: outcome.delayMs })
  }
}

function reportFailure({ claim }: RunningTask, error: TaskError, { notice, underWay, settings }: Worker): void {
  const { _id, name } = claim.task
  // The handler's version, not that for which the input was written: an old message can fail in a new handler.
  const version = settings.factories.get(name)?.version ?? claim.task.version
  underWay.add(notice.record({ error, task: _id, name, version, host: settings.name }))
}
