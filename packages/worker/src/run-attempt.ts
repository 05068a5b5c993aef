import { hostname } from 'node:os'
import { type TaskError, toFullRow } from '@taskfleet/core/internal'
import { hasEnded, type TaskRow } from '@taskfleet/protocol'
import { type Executed, executeTask, type Handling } from './execute-task.ts'
import type { HandlerContext } from './handler.ts'
import type { Emit } from './runner-options.ts'
import type { RunningTask } from './running-task.ts'
import type { TaskFactory } from './task-factory.ts'
import type { Worker } from './worker.ts'

/** Runs an attempt to its end, and reports how it went to whoever wants to know. */
export async function runAttempt(run: RunningTask, worker: Worker): Promise<void> {
  const { settings, fleet, emit } = worker
  const task = toFullRow<TaskRow>('tasks', run.claim.task)
  const factory = settings.factories.get(task.name)!
  // The program that does the work gets the event when its input has been accepted, with the input as a handler would get it.
  if (!factory.notify) emit('claimed', { task })
  const executed = await executeTask(run, factory, {
    store: fleet.store,
    sessions: worker.sessions,
    onMoved: (moved) => worker.suspects.cleared(moved),
    onRefused: (refused) => worker.session.refused(refused),
    clock: fleet.database.clock,
    log: settings.log,
    abortGraceMs: settings.abortGraceMs,
    shutdown: worker.budget,
    handle: (factory, context, run) => handle(factory, context, run, worker),
    enter: async () => {
      const leave = await worker.handlerSlots?.enter(run.signal)
      run.begin()
      return leave
    },
  })
  reportEnd(run, task, executed, worker)
}

/** In this process, in one of its own, or by the program around the runner. */
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
  })
}

function reportEnd(run: RunningTask, task: TaskRow, { outcome, settled }: Executed, worker: Worker): void {
  const { fleet, settings, reporter, underWay } = worker
  underWay.add(reporter.ended(run, settled.owned && settled.status === 'completed'))
  if (!settled.owned || outcome === null) {
    settings.log.warn({ task: run.id }, 'the result is discarded: the task is no longer ours')
    run.end({ status: 'pending' })
    return
  }
  const { status } = settled
  const output = outcome.verb === 'complete' ? { output: outcome.output } : {}
  const failure = 'error' in outcome ? { error: outcome.error } : {}
  // Should it fail, the reaper's look makes up for it.
  if (hasEnded(status)) underWay.add(fleet.store.unblock(run.claim.task._id))
  if (failure.error !== undefined) reportFailure(run, failure.error, worker)
  run.end({ status, ...output, ...failure })
  emitEnd({ ...task, status }, outcome, worker.emit)
}

function emitEnd(task: TaskRow, outcome: NonNullable<Executed['outcome']>, emit: Emit): void {
  const { status } = task
  if (status === 'completed') emit('success', { task, output: outcome.verb === 'complete' ? outcome.output : null })
  else if (status === 'failed' && 'error' in outcome) emit('fail', { task, error: outcome.error })
  else if (status === 'pending' && (outcome.verb === 'retry' || outcome.verb === 'defer')) {
    emit('retry', { task, error: outcome.error, delayMs: outcome.delayMs })
  }
}

function reportFailure({ claim }: RunningTask, error: TaskError, { notice, underWay }: Worker): void {
  const { _id, name, version } = claim.task
  underWay.add(notice.record({ error, task: _id, name, version, host: hostname() }))
}
