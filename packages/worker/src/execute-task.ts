import { setTimeout as sleep } from 'node:timers/promises'
import {
  AttemptAborted,
  asError,
  backoffDelay,
  checkSize,
  type FleetError,
  Outcome,
  RetryAfterError,
  type Settled,
  type TaskStore,
  toTaskError,
  UnrecoverableError,
} from '@taskfleet/core'
import type { Logger } from 'pino'
import type { HandlerContext } from './handler.ts'
import type { LeaseKeeper } from './lease-keeper.ts'
import type { RunningTask } from './running-task.ts'
import type { TaskFactory } from './task-factory.ts'

export interface ExecutionDeps {
  store: TaskStore
  leases: Pick<LeaseKeeper, 'trusted'>
  log: Logger
  /** How long a handler may go on after it was told to stop, in milliseconds; then its slot is freed without it. */
  abortGraceMs: number
  random?: () => number
}

export interface Executed {
  outcome: Outcome | null
  settled: Settled
}

/** Runs one claimed task to its end: input, handler, outcome, and the one write that records it. */
export async function executeTask(run: RunningTask, factory: TaskFactory, deps: ExecutionDeps): Promise<Executed> {
  const outcome = await runHandler(run, factory, deps)
  if (outcome === null) return { outcome, settled: { owned: false } }
  return { outcome, settled: await settle(run, outcome, deps) }
}

/** Null when the lease was lost: then there is nothing of ours to record. */
async function runHandler(run: RunningTask, factory: TaskFactory, deps: ExecutionDeps): Promise<Outcome | null> {
  const { task } = run.claim
  const timer =
    factory.timeoutMs === undefined
      ? undefined
      : setTimeout(
          () => run.abort('TIMED_OUT', `It took longer than ${factory.timeoutMs} ms`),
          Math.min(factory.timeoutMs, 2 ** 31 - 1),
        )
  try {
    const input = await factory.accept(task.version, task.input)
    // What was asked for before the handler began needs no handler.
    run.signal.throwIfAborted()
    const output = await untilAbandoned(factory.run(contextOf(run, input, factory, deps)), run, deps)
    checkSize(output ?? null, 'OUTPUT_TOO_LARGE', 'output')
    return Outcome.completed(output ?? null)
  } catch (error) {
    return outcomeOf(error, run, factory, deps)
  } finally {
    clearTimeout(timer)
  }
}

/** The handler's result, or the abort's reason when the handler doesn't heed it within the grace period. */
function untilAbandoned<T>(result: Promise<T> | T, run: RunningTask, deps: ExecutionDeps): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let grace: NodeJS.Timeout | undefined
    const onAbort = (): void => {
      grace = setTimeout(() => {
        deps.log.warn(
          { task: run.id, graceMs: deps.abortGraceMs },
          'a handler does not heed its signal; its slot is freed',
        )
        reject(run.signal.reason)
      }, deps.abortGraceMs)
    }
    run.signal.addEventListener('abort', onAbort, { once: true })
    Promise.resolve(result)
      .then(resolve, reject)
      .finally(() => {
        clearTimeout(grace)
        run.signal.removeEventListener('abort', onAbort)
      })
  })
}

function outcomeOf(thrown: unknown, run: RunningTask, factory: TaskFactory, deps: ExecutionDeps): Outcome | null {
  const { reason } = run.signal
  if (reason instanceof AttemptAborted) {
    switch (reason.code) {
      case 'CANCELLED':
        return Outcome.stopped()
      case 'PAUSED':
        return Outcome.suspended()
      case 'SHUTDOWN':
        return Outcome.released()
      case 'LEASE_LOST':
        return null
      case 'TIMED_OUT':
        return retry(reason, run, factory, deps)
    }
  }
  const code = (thrown as Partial<FleetError> | undefined)?.code
  // Trying again can't make a wrong input right.
  if (
    thrown instanceof UnrecoverableError ||
    code === 'INPUT_INVALID' ||
    code === 'UPGRADE_FAILED' ||
    code === 'UPGRADE_MISSING'
  ) {
    return Outcome.failed(toTaskError(thrown))
  }
  return retry(thrown, run, factory, deps)
}

function retry(
  thrown: unknown,
  run: RunningTask,
  factory: TaskFactory,
  { random = Math.random }: ExecutionDeps,
): Outcome {
  const delay =
    thrown instanceof RetryAfterError
      ? thrown.delayMs
      : backoffDelay(factory.backoff, run.claim.task.failures + 1, random())
  return Outcome.retry(toTaskError(thrown), delay)
}

/** Repeats the finishing write until the server has answered or the lease can't be trusted any more. */
async function settle(run: RunningTask, outcome: Outcome, { store, leases, log }: ExecutionDeps): Promise<Settled> {
  for (let pause = 100; ; pause = Math.min(1_000, pause * 2)) {
    try {
      return await store.settle(run.claim, outcome)
    } catch (error) {
      // What the driver can't even send will not be sent by trying again.
      if (outcome.verb === 'complete' && !/^Mongo/.test(asError(error).name)) {
        return settle(run, Outcome.failed(toTaskError(error)), { store, leases, log, abortGraceMs: 0 })
      }
      log.warn({ err: asError(error), task: run.id, verb: outcome.verb }, 'an end could not be recorded yet')
      if (!leases.trusted(run.leaseId)) return { owned: false }
      await sleep(pause)
    }
  }
}

function contextOf<Input>(
  run: RunningTask,
  input: Input,
  factory: TaskFactory,
  deps: ExecutionDeps,
): HandlerContext<Input> {
  const { store, leases } = deps
  const { _id } = run.claim.task
  const task = factory.make(run.claim, {
    trusted: () => leases.trusted(run.leaseId),
    confirm: async () => (await store.find(_id))?.lease?.id === run.leaseId,
  })
  let state = run.claim.task.checkpoint
  return {
    input,
    task,
    signal: run.signal,
    progress: (update) => run.progress(update),
    log: {
      debug: (message) => run.log('debug', message),
      info: (message) => run.log('info', message),
      warn: (message) => run.log('warn', message),
      error: (message) => run.log('error', message),
    },
    socket: { emit: (name, data) => run.event(name, data), on: (name, answer) => run.onMessage(name, answer) },
    checkpoint: {
      get state() {
        return state
      },
      save: async (next) => {
        checkSize(next ?? null, 'CHECKPOINT_TOO_LARGE', 'checkpoint')
        if (!(await store.saveCheckpoint(_id, run.leaseId, next ?? null))) {
          run.abort('LEASE_LOST', 'Another worker or nobody owns this task now')
          throw new AttemptAborted('LEASE_LOST', 'The checkpoint was not saved: this task is no longer ours')
        }
        state = next
      },
    },
  }
}
