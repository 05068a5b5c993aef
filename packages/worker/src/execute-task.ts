import { setTimeout as sleep } from 'node:timers/promises'
import {
  AttemptAborted,
  asError,
  backoffDelay,
  checkSize,
  DEFAULT_BACKOFF,
  type FleetError,
  Outcome,
  RetryAfterError,
  type ServerClock,
  type Settled,
  SnoozeError,
  type TaskStore,
  toTaskError,
  UnrecoverableError,
} from '@taskfleet/core'
import type { Logger } from 'pino'
import { faultPoint } from './faults/fault-point.ts'
import type { HandlerContext } from './handler.ts'
import type { LeaseKeeper } from './lease-keeper.ts'
import { predecessorResults } from './predecessor-results.ts'
import type { RunningTask } from './running-task.ts'
import type { TaskFactory } from './task-factory.ts'

const LONGEST_TIMER_MS = 2 ** 31 - 1

export interface ExecutionDeps {
  store: TaskStore
  clock: Pick<ServerClock, 'now'>
  leases: Pick<LeaseKeeper, 'trusted'>
  /** Carries out the handler: here, in a process of its own, or by the program around the runner. */
  handle: Handle
  /** Resolves when the handler may begin; what it returns is called when it has ended. At once by default. */
  enter?: () => Promise<(() => void) | undefined>
  log: Logger
  /** How long a handler may go on after it was told to stop, in milliseconds; then its slot is freed without it. */
  abortGraceMs: number
  random?: () => number
}

/** A handler under way. `kill` ends one for good that does not heed its signal. */
export interface Handling {
  result: Promise<unknown>
  kill?: () => Promise<void>
}
type Handle = (factory: TaskFactory, context: HandlerContext<unknown>, run: RunningTask) => Handling

export interface Executed {
  outcome: Outcome | null
  settled: Settled
}

/** Runs one claimed task to its end: input, handler, outcome, and the one write that records it. */
export async function executeTask(run: RunningTask, factory: TaskFactory, deps: ExecutionDeps): Promise<Executed> {
  const leave = await deps.enter?.()
  const outcome = await runHandler(run, factory, deps).finally(leave)
  if (outcome === null) return { outcome, settled: { owned: false } }
  return { outcome, settled: await settle(run, outcome, deps) }
}

/** Null when the lease was lost: then there is nothing of ours to record. */
async function runHandler(run: RunningTask, factory: TaskFactory, deps: ExecutionDeps): Promise<Outcome | null> {
  const { task } = run.claim
  const timers = timeLimits(run, factory, deps)
  try {
    const input = await factory.accept(task.version, task.input)
    // What was asked for before the handler began needs no handler.
    run.signal.throwIfAborted()
    faultPoint('handler', 'start')
    const output = await untilAbandoned(deps.handle(factory, contextOf(run, input, factory, deps), run), run, deps)
    checkSize(output ?? null, 'OUTPUT_TOO_LARGE', 'output')
    return Outcome.completed(output ?? null)
  } catch (error) {
    return outcomeOf(error, run, factory, deps)
  } finally {
    for (const timer of timers) clearTimeout(timer)
  }
}

/** One timer for the attempt and one for the whole task, by the server's time since its first claim. */
function timeLimits(
  run: RunningTask,
  { timeoutMs, totalTimeoutMs }: TaskFactory,
  { clock }: ExecutionDeps,
): NodeJS.Timeout[] {
  const timers: NodeJS.Timeout[] = []
  const after = (ms: number, code: 'TIMED_OUT' | 'TASK_TIMED_OUT', message: string): void => {
    if (ms <= 0) run.abort(code, message)
    else if (ms < LONGEST_TIMER_MS) timers.push(setTimeout(() => run.abort(code, message), ms))
  }
  if (timeoutMs !== undefined) after(timeoutMs, 'TIMED_OUT', `The attempt took longer than ${timeoutMs} ms`)
  if (totalTimeoutMs !== undefined) {
    const began = run.claim.task.startedAt ?? clock.now()
    const left = began.getTime() + totalTimeoutMs - clock.now().getTime()
    after(left, 'TASK_TIMED_OUT', `The task took longer than ${totalTimeoutMs} ms, all attempts included`)
  }
  return timers
}

/** The handler's result, or the abort's reason when the handler doesn't heed it within the grace period. */
function untilAbandoned({ result, kill }: Handling, run: RunningTask, deps: ExecutionDeps): Promise<unknown> {
  return new Promise<unknown>((resolve, reject) => {
    let grace: NodeJS.Timeout | undefined
    const onAbort = (): void => {
      grace = setTimeout(() => {
        deps.log.warn(
          { task: run.id, graceMs: deps.abortGraceMs },
          'a handler does not heed its signal; its slot is freed',
        )
        reject(run.signal.reason)
        kill?.().catch((error: unknown) =>
          deps.log.error({ err: asError(error), task: run.id }, 'it could not be ended'),
        )
      }, deps.abortGraceMs)
    }
    run.signal.addEventListener('abort', onAbort, { once: true })
    if (run.signal.aborted) onAbort()
    result.then(resolve, reject).finally(() => {
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
      case 'TASK_TIMED_OUT':
        return Outcome.failed(toTaskError(reason))
    }
  }
  if (thrown instanceof SnoozeError) return Outcome.snoozed(thrown.delayMs)
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
  { random = Math.random, log }: ExecutionDeps,
): Outcome {
  return Outcome.retry(toTaskError(thrown), delay(), factory.decay)

  function delay(): number {
    if (thrown instanceof RetryAfterError) return thrown.delayMs
    const failures = run.claim.task.failures + 1
    try {
      return backoffDelay(factory.backoff, failures, random(), thrown)
    } catch (error) {
      log.error({ err: asError(error), task: run.id }, "the handler's own back-off failed; the usual one is taken")
      return backoffDelay(DEFAULT_BACKOFF, failures, random())
    }
  }
}

/** Repeats the finishing write until the server has answered or the lease can't be trusted any more. */
async function settle(run: RunningTask, outcome: Outcome, deps: ExecutionDeps): Promise<Settled> {
  const { store, leases, log } = deps
  for (let pause = 100; ; pause = Math.min(1_000, pause * 2)) {
    try {
      faultPoint(outcome.verb, 'before')
      faultPoint(outcome.verb, 'sent', run.leaseId)
      const settled = await store.settle(run.claim, outcome)
      faultPoint(outcome.verb, 'acked')
      return settled
    } catch (error) {
      // What the driver can't even send will not be sent by trying again.
      if (outcome.verb === 'complete' && !/^Mongo/.test(asError(error).name)) {
        return settle(run, Outcome.failed(toTaskError(error)), deps)
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
    results: () => predecessorResults(run.claim.task, store),
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
