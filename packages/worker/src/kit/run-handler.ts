import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { TaskDocument } from '@taskfleet/core'
import { type Claim, parseNewTask, type Settled, type TaskError, type TaskStore } from '@taskfleet/core/internal'
import { type AbortCode, AttemptAborted, type LogLine, type Progress } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { pino } from 'pino'
import { executeTask } from '../execute-task.ts'
import type { PredecessorResult } from '../handler.ts'
import { RunningTask } from '../running-task.ts'
import type { TaskFactory } from '../task-factory.ts'

export interface RunHandlerOptions {
  /** The checkpoint of the last attempt. */
  checkpoint?: unknown
  /** The number of this attempt; 1 by default. */
  attempt?: number
  /** How many attempts have failed before this one. */
  failures?: number
  /** The version that the input is written for; the handler's own by default. */
  version?: number
  deadline?: Date
  /** The answer of `results()`: how the tasks for which it has waited have ended, by their ids. */
  results?: Readonly<Record<string, PredecessorResult>>
  /** Called when the handler has begun. It gets what a watcher or an operator can do with the attempt. */
  during?: (attempt: HandlerInFlight) => Promise<unknown> | unknown
  /** Replaces the random part of the back-off: 0 to 1, 1 by default. */
  random?: number
}

/** A running handler. */
export interface HandlerInFlight {
  /** Cancels or pauses the attempt, or takes its lease away. */
  abort(code: AbortCode, message?: string): void
  /** Sends it a message as a watcher would, and returns its answer. */
  message(name: string, data?: unknown): Promise<unknown>
}

/** How an attempt ended, and what it reported before. */
export interface HandlerResult {
  /** The outcome that a worker would record; `null` when the lease was lost. */
  outcome: 'completed' | 'retry' | 'failed' | 'snoozed' | 'released' | 'paused' | 'cancelled' | null
  output?: unknown
  error?: TaskError
  /** Until the next attempt, in milliseconds; for `retry` and `snoozed`. */
  delayMs?: number
  /** Whether the retry costs nothing, because the handler threw a `RetryAfterError`. Such an attempt is stored as `deferred`. */
  costsNothing?: true
  /** The last one. */
  progress: Progress | null
  log: LogLine[]
  events: { name: string; data?: unknown }[]
  /** The checkpoint from which the next attempt would resume. */
  checkpoint: unknown
}

const OUTCOMES = {
  complete: 'completed',
  retry: 'retry',
  fail: 'failed',
  defer: 'retry',
  snooze: 'snoozed',
  release: 'released',
  suspend: 'paused',
  stop: 'cancelled',
} as const

/**
 * Runs a handler without a database or a worker. Input, upgrade, validation, time limits, errors and back-off work as in a worker.
 *
 * @param input as a producer would give it, for `options.version`
 */
export async function runHandler<Schema extends StandardSchemaV1, Output>(
  factory: TaskFactory<Schema, Output>,
  input: unknown,
  options: RunHandlerOptions = {},
): Promise<HandlerResult> {
  const store = new OneAttempt()
  const claim = store.claimOf(factory, input, options)
  const run = new RunningTask(claim)
  const events: { name: string; data?: unknown }[] = []
  run.watch({
    progress: () => undefined,
    log: () => undefined,
    event: (event) => events.push(event),
    end: () => undefined,
  })
  const inFlight: HandlerInFlight = {
    abort: (code, message = 'requested by a test') => run.abort(code, message),
    message: (name, data) => run.message(name, data),
  }
  const executing = executeTask(run, factory as unknown as TaskFactory, {
    store: store as unknown as TaskStore,
    clock: { now: () => new Date() },
    sessions: {
      trusted: () => store.owned,
      isDead: () => !store.owned,
      proven: async () => {
        if (!store.owned) throw new AttemptAborted('LEASE_LOST', 'The test took the lease away')
      },
    },
    log: pino({ level: 'silent' }),
    abortGraceMs: 1_000,
    random: () => options.random ?? 1,
    handle: (_factory, worker) => ({
      result: (async () => {
        const context = { ...worker, results: async () => new Map(Object.entries(options.results ?? {})) }
        const running = Promise.resolve(factory.run(context as never))
        // A failure of `during` must not hide how the handler ends.
        const [ended] = await Promise.allSettled([running, Promise.resolve(inFlight).then(options.during)])
        if (ended.status === 'rejected') throw ended.reason
        return ended.value
      })(),
    }),
  })
  run.signal.addEventListener('abort', () => {
    store.owned = (run.signal.reason as { code?: AbortCode }).code !== 'LEASE_LOST'
  })
  const { outcome } = await executing
  const { progress, log } = run.snapshot()
  return {
    outcome: outcome === null ? null : OUTCOMES[outcome.verb],
    ...(outcome !== null && 'output' in outcome ? { output: outcome.output } : {}),
    ...(outcome !== null && 'error' in outcome ? { error: outcome.error } : {}),
    ...(outcome !== null && 'delayMs' in outcome ? { delayMs: outcome.delayMs } : {}),
    ...(outcome?.verb === 'defer' ? { costsNothing: true as const } : {}),
    progress,
    log,
    events,
    checkpoint: store.checkpoint,
  }
}

/** A store that knows one attempt and keeps its checkpoint. */
class OneAttempt {
  owned = true
  checkpoint: unknown
  #task: TaskDocument | undefined

  claimOf(factory: { name: string; version: number }, input: unknown, options: RunHandlerOptions): Claim {
    const { attempt = 1, failures = attempt - 1, checkpoint, deadline, version = factory.version } = options
    const { _id, queue, priority, lazy, maxAttempts, ...asked } = parseNewTask({ name: factory.name, version, input })
    const now = new Date()
    this.checkpoint = checkpoint
    this.#task = {
      ...{ _id, queue, priority, lazy, maxAttempts, failures, attempt, version },
      name: factory.name,
      input: asked.input,
      status: 'running',
      basePriority: priority,
      lost: 0,
      ...{ runAt: now, order: now, createdAt: now, updatedAt: now, claimedAt: now, startedAt: now },
      attempts: [],
      attemptsDropped: attempt,
      worker: 'test',
      lease: { id: 'test', session: 'test' },
      rev: 1,
      ...given({ checkpoint, deadline }),
    }
    return { task: this.#task, leaseId: 'test', sentAt: performance.now() }
  }

  async saveCheckpoint(_id: unknown, _leaseId: string, state: unknown): Promise<boolean> {
    if (this.owned) this.checkpoint = structuredClone(state)
    return this.owned
  }

  async settle(): Promise<Settled> {
    return { owned: this.owned, status: 'completed' }
  }

  async find(): Promise<TaskDocument | null> {
    return this.owned ? (this.#task ?? null) : null
  }
}
