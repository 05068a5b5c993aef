import { setTimeout as sleep } from 'node:timers/promises'
import { asError } from '@taskfleet/core'
import {
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
import { StallWatch } from './stall-watch.ts'
import type { StopBudget } from './stop-budget.ts'
import type { TaskFactory } from './task-factory.ts'
import { resolveSecrets, type SecretSource } from './task-secrets.ts'

/** How long at most until an end is tried again that the database refuses, in milliseconds. */
const REFUSED_PAUSE_MS = 30_000
/** How often an end is tried that fails for a reason which nobody knows to pass. */
const UNKNOWN_TRIES = 5
/** How long an isolate may take to be gone. */
const KILL_MS = 2_000

export interface ExecutionDeps {
  store: TaskStore
  clock: Pick<ServerClock, 'now'>
  sessions: SessionView
  /** Told of an attempt whose checkpoint has moved. */
  onMoved?: (run: RunningTask) => void
  /** Told of an attempt of which the database takes no end; it is tried again now and then. */
  onRefused?: (run: RunningTask) => void
  /** Where the secrets come from that inputs name; without it `{ secret: 'name' }` is an object as any other. */
  secrets?: SecretSource | undefined
  /** Carries out the handler: here, in a process of its own, or by the program around the runner. */
  handle: Handle
  /** Why a task may not be run here; undefined where it may. */
  refusal?: (task: Claim['task'], factory: TaskFactory) => FleetError | undefined
  /** Resolves when the handler may begin; what it returns is called when it has ended. At once by default. */
  enter?: () => Promise<(() => void) | undefined>
  log: Logger
  /** How long a handler may go on after it was told to stop, in milliseconds; then its slot is freed without it. */
  abortGraceMs: number
  /** What a shutdown leaves of that. */
  shutdown?: Pick<StopBudget, 'abandon' | 'goneInMs'>
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
  run.settling = true
  if (outcome === null) return { outcome, settled: { owned: false } }
  return settle(run, outcome, deps)
}

/** Null when the lease was lost: then there is nothing of ours to record. */
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
    // What was asked for before the handler began needs no handler.
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

/** The input with its secrets, which are hidden from now on in what the attempt says. @throws {FleetError} `SECRET_MISSING` */
async function inputOf(run: RunningTask, { secrets }: ExecutionDeps): Promise<unknown> {
  const { input } = run.claim.task
  if (secrets === undefined) return input
  const resolved = await resolveSecrets(input, secrets)
  run.hide(resolved.values)
  return resolved.input
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
      deps.log.warn({ task: run.id }, 'a handler does not heed its signal; its slot is freed')
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

/** Trying again can't make a wrong input right. A handler that throws one of these codes has an input of its own in mind. */
const FOR_GOOD = new Set([
  ...['INPUT_INVALID', 'UPGRADE_FAILED', 'UPGRADE_MISSING'],
  ...['UNSIGNED_TASK', 'BAD_SIGNATURE', 'REPLAY_NOT_ALLOWED'],
])

const isForGood = (error: unknown): boolean => error instanceof FleetError && FOR_GOOD.has(error.code)

/** Whether a handler's isolate has gone. It does so before anybody else can claim the task. */
async function killed({ kill }: Handling, run: RunningTask, { log }: ExecutionDeps): Promise<boolean> {
  if (kill === undefined) return false
  const ended = kill().then(
    () => true,
    (error: unknown) => {
      log.error({ err: asError(error), task: run.id }, 'it could not be ended')
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
        // Nobody can end it in here: until this process is gone, its task must not run elsewhere.
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

/** What was asked for costs the task nothing; undefined for a delay that nobody can wait for. */
function putOff(thrown: SnoozeError | RetryAfterError, run: RunningTask): Outcome | undefined {
  const { delayMs } = thrown
  if (!Number.isFinite(delayMs) || delayMs < 0) return undefined
  if (thrown instanceof RetryAfterError) {
    return Outcome.deferred(toTaskError(thrown, run.readable), Math.min(delayMs, LONGEST_RETRY_AFTER_MS))
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
  return Outcome.retry(toTaskError(thrown, run.readable), delay(), { decay, counts })

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

/**
 * Repeats the finishing write until the server has answered or the session has ended. While the database is away the result waits:
 * the lease in the filter sees to it that it never replaces another's. What the server refuses for good is replaced once by a plain
 * failure that says why, so that each attempt has an end.
 */
async function settle(run: RunningTask, wanted: Outcome, deps: ExecutionDeps): Promise<Executed> {
  const { store, sessions, log } = deps
  let outcome = wanted
  let progress = run.lastProgress
  let replaced = false
  for (let pause = 100, tries = 1; ; pause = Math.min(1_000, pause * 2), tries += 1) {
    try {
      const settled = await store.settle(run.claim, outcome, progress)
      return { outcome, settled }
    } catch (error) {
      const { verb } = outcome
      if (isRefusal(error, tries)) {
        const said = { err: asError(error), task: run.id, verb, code: 'END_REFUSED' }
        if (replaced) {
          log.error(
            said,
            'the database refuses even a plain failure; the slot is freed, and it is tried again now and then',
          )
          deps.onRefused?.(run)
          void settleLater(run, [wanted, outcome], deps)
          return { outcome, settled: { owned: false } }
        }
        log.error(said, 'the database refuses an end for good; a plain failure is recorded instead')
        outcome = Outcome.failed(toTaskError(refusedEnd(error, verb), run.readable))
        // It may be what was refused.
        progress = undefined
        replaced = true
        tries = 0
        continue
      }
      log.warn({ err: asError(error), task: run.id, verb }, 'an end could not be recorded yet')
      if (sessions.isDead(run.session)) return { outcome, settled: { owned: false } }
      await sleep(pause)
    }
  }
}

/**
 * What the handler wanted, else the plain failure that stands for it: somebody may change what the database refuses. Holds no slot,
 * and ends with the session: then the task is taken back like any other.
 */
async function settleLater(run: RunningTask, ends: readonly Outcome[], deps: ExecutionDeps): Promise<void> {
  const { store, sessions, log } = deps
  for (let pause = 1_000; ; pause = Math.min(REFUSED_PAUSE_MS, pause * 2)) {
    await sleep(pause, undefined, { ref: false })
    for (const outcome of ends) {
      if (sessions.isDead(run.session)) return
      try {
        await store.settle(run.claim, outcome)
        return
      } catch (error) {
        log.debug({ err: asError(error), task: run.id }, 'the database still refuses the end of an attempt')
      }
    }
  }
}

function isRefusal(error: unknown, tries: number): boolean {
  const failure = judgeWriteFailure(error)
  return failure === 'refused' || (failure === 'unknown' && tries >= UNKNOWN_TRIES)
}

function refusedEnd(error: unknown, verb: Outcome['verb']): FleetError {
  const { message, code } = asError(error) as Error & { code?: unknown }
  const number = typeof code === 'number' ? ` (code ${code})` : ''
  const how = `The attempt ended with '${verb}', which the database refuses`
  return new FleetError('END_REFUSED', `${how}${number}: ${message}`, { cause: error })
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
  // An aborted handler may still save where it stands; it need not wait for the database.
  const proven = async (): Promise<void> => {
    if (!sessions.trusted(run.session)) await unlessAborted(sessions.proven(run.session), run.signal)
  }
  const task = factory.make(run.claim, {
    trusted: () => sessions.trusted(run.session),
    proven,
    confirm: () => onceProven(proven, async () => (await store.find(_id))?.lease?.id === run.leaseId),
  })
  let state = run.claim.task.checkpoint
  // Handlers like to change the state that they saved and to save it again.
  let stored = storedBytes(state)
  return {
    input,
    task,
    signal: run.signal,
    progress: (update) => run.progress(keepProgress(update)),
    log: {
      debug: (message) => run.log('debug', message),
      info: (message) => run.log('info', message),
      warn: (message) => run.log('warn', message),
      error: (message) => run.log('error', message),
    },
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
          throw new FleetError(
            'SECRET_IN_CHECKPOINT',
            'A checkpoint is stored, so it may not hold the value of a secret',
          )
        }
        const saving = onceProven(proven, () => store.saveCheckpoint(_id, run.leaseId, kept))
        if (!(await run.whileSaving(saving))) {
          run.abort('LEASE_LOST', 'Another worker or nobody owns this task now')
          throw new AttemptAborted('LEASE_LOST', 'The checkpoint was not saved: this task is no longer ours')
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

/** What needs the database waits until it is there, and is tried again when it went away meanwhile: that is nobody's failure. */
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
