import { setTimeout as sleep } from 'node:timers/promises'
import {
  AttemptAborted,
  asError,
  backoffDelay,
  checkSize,
  DEFAULT_BACKOFF,
  FleetError,
  LONGEST_RETRY_AFTER_MS,
  LONGEST_SNOOZE_MS,
  Outcome,
  RetryAfterError,
  runAfter,
  type ServerClock,
  type Settled,
  SnoozeError,
  type TaskStore,
  toTaskError,
  UnrecoverableError,
} from '@taskfleet/core'
import { BSON } from 'mongodb'
import type { Logger } from 'pino'
import { type AttemptLimits, limitsOf } from './attempt-limits.ts'
import { faultPoint } from './faults/fault-point.ts'
import type { HandlerContext } from './handler.ts'
import type { LeaseKeeper } from './lease-keeper.ts'
import type { RunningTask } from './running-task.ts'
import { StallWatch } from './stall-watch.ts'
import type { TaskFactory } from './task-factory.ts'

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
  const limits = limitsOf(task, factory)
  const stop = watchLimits(run, limits, deps)
  try {
    const input = await factory.accept(task.version, task.input)
    // What was asked for before the handler began needs no handler.
    run.signal.throwIfAborted()
    faultPoint('handler', 'start')
    const output = await untilAbandoned(deps.handle(factory, contextOf(run, input, factory, deps), run), run, deps)
    checkSize(output ?? null, 'OUTPUT_TOO_LARGE', 'output')
    return Outcome.completed(output ?? null)
  } catch (error) {
    return outcomeOf(error, run, limits, deps)
  } finally {
    stop()
  }
}

/**
 * One timer for the attempt, one for the whole task by the server's time since its first claim, and one for a standstill.
 *
 * @returns their undo
 */
function watchLimits(run: RunningTask, limits: AttemptLimits, { clock }: ExecutionDeps): () => void {
  const { timeoutMs, totalTimeoutMs, stallMs } = limits
  const undo: (() => void)[] = []
  if (timeoutMs !== undefined) {
    undo.push(runAfter(timeoutMs, () => run.abort('TIMED_OUT', `The attempt took longer than ${timeoutMs} ms`)))
  }
  if (totalTimeoutMs !== undefined) {
    const began = run.claim.task.startedAt ?? clock.now()
    const left = began.getTime() + totalTimeoutMs - clock.now().getTime()
    const end = (): void =>
      run.abort('TASK_TIMED_OUT', `The task took longer than ${totalTimeoutMs} ms, all attempts included`)
    if (left <= 0) end()
    else undo.push(runAfter(left, end))
  }
  if (stallMs !== undefined) {
    const watch = new StallWatch(stallMs, () =>
      run.abort('STALLED', `The attempt reported no new progress and saved no new checkpoint for ${stallMs} ms`),
    )
    run.followNews(watch)
    undo.push(() => watch.stop())
  }
  return () => {
    for (const one of undo) one()
  }
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

function outcomeOf(thrown: unknown, run: RunningTask, limits: AttemptLimits, deps: ExecutionDeps): Outcome | null {
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
      case 'STALLED':
        return retry(reason, run, limits, deps)
      case 'TASK_TIMED_OUT':
        return Outcome.failed(toTaskError(reason))
    }
  }
  if (thrown instanceof SnoozeError || thrown instanceof RetryAfterError) {
    return putOff(thrown) ?? retry(badDelay(thrown), run, limits, deps)
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
  return retry(thrown, run, limits, deps)
}

/** What was asked for costs the task nothing; undefined for a delay that nobody can wait for. */
function putOff(thrown: SnoozeError | RetryAfterError): Outcome | undefined {
  const { delayMs } = thrown
  if (!Number.isFinite(delayMs) || delayMs < 0) return undefined
  if (thrown instanceof RetryAfterError) {
    return Outcome.deferred(toTaskError(thrown), Math.min(delayMs, LONGEST_RETRY_AFTER_MS))
  }
  return delayMs > LONGEST_SNOOZE_MS ? undefined : Outcome.snoozed(delayMs)
}

/** A plain failure, so that a delay that is none can't let the task run for ever. */
function badDelay(thrown: SnoozeError | RetryAfterError): FleetError {
  const { name, code, message, delayMs } = thrown
  const takes = 'a duration such as 30s, 5m or 2h is wanted'
  return new FleetError('BAD_DELAY', `The delay of a ${name} is ${delayMs} ms; ${takes} (${code}: ${message})`, {
    cause: thrown,
  })
}

function retry(
  thrown: unknown,
  run: RunningTask,
  { backoff, decay, counts }: AttemptLimits,
  { random = Math.random, log }: ExecutionDeps,
): Outcome {
  return Outcome.retry(toTaskError(thrown), delay(), { decay, counts })

  function delay(): number {
    // The store decides what the failure costs; this only guesses the same for the delay.
    const before = counts === 'without-progress' && run.checkpointMoved ? 0 : run.claim.task.failures
    const failures = before + 1
    try {
      return backoffDelay(backoff, failures, random(), thrown)
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

const storedBytes = (state: unknown): Buffer => Buffer.from(BSON.serialize({ state: state ?? null }))

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
  // Handlers like to change the state that they saved and to save it again.
  let stored = storedBytes(state)
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
        const bytes = storedBytes(next)
        if (!(await run.whileSaving(store.saveCheckpoint(_id, run.leaseId, next ?? null)))) {
          run.abort('LEASE_LOST', 'Another worker or nobody owns this task now')
          throw new AttemptAborted('LEASE_LOST', 'The checkpoint was not saved: this task is no longer ours')
        }
        if (!bytes.equals(stored)) run.movedCheckpoint()
        stored = bytes
        state = next
      },
    },
  }
}
