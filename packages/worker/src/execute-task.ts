import { setTimeout as sleep } from 'node:timers/promises'
import { asError } from '@taskfleet/core'
import {
  type Affinity,
  backoffDelay,
  type Claim,
  DEFAULT_BACKOFF,
  judgeWriteFailure,
  Outcome,
  type ServerClock,
  type Settled,
  type TaskStore,
  toTaskError,
} from '@taskfleet/core/internal'
import {
  AttemptAborted,
  FleetError,
  LONGEST_RETRY_AFTER_MS,
  LONGEST_SNOOZE_MS,
  type LogLevel,
  RetryAfterError,
  SnoozeError,
  UnrecoverableError,
} from '@taskfleet/protocol'
import { eventGate, keepProgress, keepValue, runAfter } from '@taskfleet/protocol/internal'
import { BSON } from 'mongodb'
import type { Logger } from 'pino'
import { type AttemptLimits, limitsOf } from './attempt-limits.ts'
import type { HandlerContext } from './handler.ts'
import { predecessorResults } from './predecessor-results.ts'
import type { RunningTask } from './running-task.ts'
import type { SessionView } from './session-keeper.ts'
import { settle } from './settle.ts'
import { StallWatch } from './stall-watch.ts'
import type { StopBudget } from './stop-budget.ts'
import type { TaskFactory } from './task-factory.ts'
import { resolveSecrets, type SecretSource } from './task-secrets.ts'

/** How long to wait until an isolate is killed. */
const KILL_MS = 2_000

export interface ExecutionDeps {
  store: TaskStore
  clock: Pick<ServerClock, 'now'>
  sessions: SessionView
  /** Where the checkpoints of a handler are of use; anywhere by default. */
  affinity?: (name: string) => Affinity | undefined
  /** Called when an attempt has saved a new checkpoint. */
  onMoved?: (run: RunningTask) => void
  /** Called when the database refuses to record an attempt's end. The write is repeated from time to time. */
  onRefused?: (run: RunningTask) => void
  /** The secrets that inputs name; without it `{ secret: 'name' }` is a plain object. */
  secrets?: SecretSource | undefined
  /** Runs the handler: in this process, in an isolate, or by the program around the runner. */
  handle: Handle
  /** Why a task may not run here; undefined if it may. */
  refusal?: (task: Claim['task'], factory: TaskFactory) => FleetError | undefined
  /** Resolves when the handler may begin, at once by default. The returned function is called when the handler has ended. */
  enter?: () => Promise<(() => void) | undefined>
  log: Logger
  /** How long a handler may go on after its signal was aborted, in milliseconds. Then its slot is freed. */
  abortGraceMs: number
  /** Shortens that during a shutdown. */
  shutdown?: Pick<StopBudget, 'abandon' | 'goneInMs'>
  random?: () => number
}

/** A running handler. `kill` ends a handler that ignores its signal. */
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
  run.settling = true
  if (outcome === null) return { outcome, settled: { owned: false } }
  return settle(run, outcome, deps)
}

/** Null when the lease was lost: then this worker has nothing to record. */
async function runHandler(run: RunningTask, factory: TaskFactory, deps: ExecutionDeps): Promise<Outcome | null> {
  const { task } = run.claim
  const limits = limitsOf(task, factory)
  const stop = watchLimits(run, limits, deps)
  let accepted = false
  try {
    const refused = deps.refusal?.(task, factory)
    if (refused !== undefined) throw refused
    const asked = await inputOf(run, deps)
    const input = await run.boundary.within(() => factory.accept(task.version, asked))
    accepted = true
    run.signal.throwIfAborted()
    const output = await untilAbandoned(deps.handle(factory, contextOf(run, input, factory, deps), run), run, deps)
    if (run.boundary.failure !== undefined) throw run.boundary.failure
    return Outcome.completed(keepValue(output ?? null, 'output'))
  } catch (error) {
    return !accepted && isForGood(error)
      ? Outcome.failed(toTaskError(error, run.readable))
      : outcomeOf(error, run, limits, deps)
  } finally {
    run.boundary.end()
    stop()
  }
}

/** The input with its secrets, which are masked from now on in the attempt's reports. @throws {FleetError} `SECRET_MISSING` */
async function inputOf(run: RunningTask, { secrets }: ExecutionDeps): Promise<unknown> {
  const { input } = run.claim.task
  if (secrets === undefined) return input
  const resolved = await resolveSecrets(input, secrets)
  run.hide(resolved.values)
  return resolved.input
}

/**
 * Starts the timers of the attempt, of the whole task by the server's time since its first claim, and of stalls.
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

/** The handler's result, or the reason of the abort when the handler ignores it for the grace period. */
function untilAbandoned(handling: Handling, run: RunningTask, deps: ExecutionDeps): Promise<unknown> {
  return new Promise<unknown>((resolve, reject) => {
    const { shutdown, abortGraceMs } = deps
    let grace: NodeJS.Timeout | undefined
    const forget = (): void => {
      clearTimeout(grace)
      shutdown?.abandon.removeEventListener('abort', abandon)
      run.signal.removeEventListener('abort', onAbort)
    }
    const abandon = (): void => {
      forget()
      deps.log.warn({ task: run.id }, 'a handler ignores its signal; its slot is freed')
      void killed(handling, run, deps).then((dead) => {
        run.goesOn = !dead
        reject(run.signal.reason)
      })
    }
    const onAbort = (): void => {
      grace = setTimeout(abandon, abortGraceMs)
      if (shutdown?.abandon.aborted) abandon()
      else shutdown?.abandon.addEventListener('abort', abandon, { once: true })
    }
    run.signal.addEventListener('abort', onAbort, { once: true })
    if (run.signal.aborted) onAbort()
    handling.result.then(resolve, reject).finally(forget)
  })
}

/** A retry can't correct the input. The code counts only before the handler begins, which may throw the same one for another reason. */
const FOR_GOOD = new Set([
  ...['INPUT_INVALID', 'UPGRADE_FAILED', 'UPGRADE_MISSING'],
  ...['UNSIGNED_TASK', 'BAD_SIGNATURE', 'REPLAY_NOT_ALLOWED'],
])

const isForGood = (error: unknown): boolean => error instanceof FleetError && FOR_GOOD.has(error.code)

/** Whether the handler's isolate was killed. That happens before another worker can claim the task. */
async function killed({ kill }: Handling, run: RunningTask, { log }: ExecutionDeps): Promise<boolean> {
  if (kill === undefined) return false
  const ended = kill().then(
    () => true,
    (error: unknown) => {
      log.error({ err: asError(error), task: run.id }, 'the isolate could not be killed')
      return false
    },
  )
  return Promise.race([ended, sleep(KILL_MS, false, { ref: false })])
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
      case 'IN_DOUBT':
        // The handler can't be killed in this process, so its task must not run elsewhere before the process has ended.
        return run.goesOn && deps.shutdown !== undefined ? Outcome.released(deps.shutdown.goneInMs) : Outcome.released()
      case 'LEASE_LOST':
        return null
      case 'TIMED_OUT':
      case 'STALLED':
      case 'UNHANDLED_IN_HANDLER':
        return retry(reason, run, limits, deps)
      case 'TASK_TIMED_OUT':
        return Outcome.failed(toTaskError(reason, run.readable))
    }
  }
  const error = asError(thrown)
  if (error instanceof SnoozeError || error instanceof RetryAfterError) {
    return putOff(error, run) ?? retry(badDelay(error), run, limits, deps)
  }
  if (error instanceof UnrecoverableError) return Outcome.failed(toTaskError(error, run.readable))
  return retry(thrown, run, limits, deps)
}

/** A snooze or a delay that the handler requests is no failure. Undefined when the delay is out of range. */
function putOff(thrown: SnoozeError | RetryAfterError, run: RunningTask): Outcome | undefined {
  const { delayMs } = thrown
  if (!Number.isFinite(delayMs) || delayMs < 0) return undefined
  if (thrown instanceof RetryAfterError) {
    return Outcome.deferred(toTaskError(thrown, run.readable), Math.min(delayMs, LONGEST_RETRY_AFTER_MS))
  }
  return delayMs > LONGEST_SNOOZE_MS ? undefined : Outcome.snoozed(delayMs)
}

/** An invalid delay is a plain failure, so that the task can't run for ever. */
function badDelay(thrown: SnoozeError | RetryAfterError): FleetError {
  const { name, code, message, delayMs } = thrown
  const takes = 'use a duration such as 30s, 5m or 2h'
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
  return Outcome.retry(toTaskError(thrown, run.readable), delay(), { decay, counts })

  function delay(): number {
    // The store decides whether the failure counts. For the delay, the same is assumed here.
    const before = counts === 'without-progress' && run.checkpointMoved ? 0 : run.claim.task.failures
    const failures = before + 1
    try {
      return backoffDelay(backoff, failures, random(), thrown)
    } catch (error) {
      log.error({ err: asError(error), task: run.id }, "the handler's own back-off failed; the default is used")
      return backoffDelay(DEFAULT_BACKOFF, failures, random())
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
  const { store, sessions } = deps
  const { _id } = run.claim.task
  // An aborted handler may still save a checkpoint, but does not wait for the database.
  const proven = async (): Promise<void> => {
    if (!sessions.trusted(run.session)) await unlessAborted(sessions.proven(run.session), run.signal)
  }
  const task = factory.make(run.claim, {
    trusted: () => sessions.trusted(run.session),
    proven,
    confirm: () => onceProven(proven, async () => (await store.find(_id))?.lease?.id === run.leaseId),
  })
  const logAt = (level: LogLevel) => (message: string) => run.log(level, message)
  let state = run.claim.task.checkpoint
  // Handlers change the object that they have saved and save it again, so the bytes are compared.
  let stored = storedBytes(state)
  return {
    input,
    task,
    signal: run.signal,
    progress: (update) => run.progress(keepProgress(update)),
    log: { debug: logAt('debug'), info: logAt('info'), warn: logAt('warn'), error: logAt('error') },
    results: () => onceProven(proven, () => predecessorResults(run.claim.task, store)),
    socket: {
      emit: eventGate(
        (name, data) => run.event(name, data),
        (message) => run.log('warn', message),
      ),
      on: (name, answer) => run.onMessage(name, answer),
    },
    checkpoint: {
      get state() {
        return state
      },
      save: async (next) => {
        const kept = keepValue(next ?? null, 'checkpoint')
        const bytes = storedBytes(kept)
        if (run.holdsSecret(bytes)) {
          const message = 'A checkpoint is stored, so it must not contain the value of a secret'
          throw new FleetError('SECRET_IN_CHECKPOINT', message)
        }
        const saving = onceProven(proven, () =>
          store.saveCheckpoint(_id, run.leaseId, kept, deps.affinity?.(factory.name)),
        )
        if (!(await run.whileSaving(saving))) {
          run.abort('LEASE_LOST', 'This worker no longer holds the task')
          throw new AttemptAborted('LEASE_LOST', 'The checkpoint was not saved: this worker no longer holds the task')
        }
        if (!bytes.equals(stored)) {
          run.movedCheckpoint()
          deps.onMoved?.(run)
        }
        stored = bytes
        state = kept
      },
    },
  }
}

/** Waits until the session is proved, and tries again after an outage of the database, which is not the handler's failure. */
async function onceProven<T>(proven: () => Promise<void>, act: () => Promise<T>): Promise<T> {
  for (let pause = 100; ; pause = Math.min(1_000, pause * 2)) {
    await proven()
    try {
      return await act()
    } catch (error) {
      if (judgeWriteFailure(error) !== 'passing') throw error
      await sleep(pause)
    }
  }
}

function unlessAborted(waiting: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    waiting.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
