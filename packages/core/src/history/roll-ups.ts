import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptOutcome, TaskStatus } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { driver } from '../database/driver.ts'
import type { ServerClock } from '../database/server-clock.ts'
import { asError } from '../thrown.ts'
import { BUCKET_LIMITS_MS, bucketOf } from './buckets.ts'

export type RollUpUnit = 'minute' | 'hour'

/** The end of an attempt, or of a task that ended without one. */
export interface End {
  queue: string
  name: string
  /** The name of the worker; empty without an attempt. */
  host: string
  /** How the attempt ended; `none` for a task that ended without one. */
  outcome: AttemptOutcome | 'none'
  /** The status of the task after it. */
  status: TaskStatus
  /** From when the task was due to its claim. */
  waitMs?: number
  /** From the claim to the end. */
  runMs?: number
}

/** The end of a task that no attempt of a worker has ended. */
export const endWithout = ({ queue, name, status }: Pick<End, 'queue' | 'name' | 'status'>): End => ({
  ...{ queue, name, status },
  ...{ host: '', outcome: 'none' as const },
})

/** The end of an attempt, with its durations. */
export function endOfAttempt(
  { queue, name, runAt, createdAt, claimedAt }: AttemptDates,
  end: Pick<End, 'host' | 'outcome' | 'status'>,
  now: Date,
): End {
  const claimed = claimedAt?.getTime()
  if (claimed === undefined) return { queue, name, ...end }
  const due = Math.max(runAt.getTime(), createdAt.getTime())
  return { queue, name, ...end, waitMs: claimed - due, runMs: now.getTime() - claimed }
}

type AttemptDates = Pick<End, 'queue' | 'name'> & { runAt: Date; createdAt: Date; claimedAt?: Date }

/** What happened in one minute or hour: the ends of one queue, name, host, outcome and status. */
export interface RollUpDocument {
  _id: string
  unit: RollUpUnit
  /** The start of the minute or hour, by the server's clock. */
  at: Date
  queue: string
  name: string
  host: string
  outcome: End['outcome']
  status: TaskStatus
  count: number
  waitMs: number
  runMs: number
  /** How many waits and runs fell into each bucket, by `b` and its index. Empty buckets are left out. */
  wait?: Record<string, number>
  run?: Record<string, number>
  expireAt: Date
}

/** The sums of several roll-ups. */
export interface RolledUp
  extends Pick<RollUpDocument, 'at' | 'queue' | 'name' | 'host' | 'outcome' | 'status' | 'count'> {
  waitMs: number
  runMs: number
  /** By the index of the bucket; see `BUCKET_LIMITS_MS`. */
  wait: number[]
  run: number[]
}

interface Sum extends Omit<End, 'waitMs' | 'runMs'> {
  at: number
  count: number
  waitMs: number
  runMs: number
  wait: Map<number, number>
  run: Map<number, number>
}

const MINUTE_MS = 60_000
export const UNIT_MS: Record<RollUpUnit, number> = { minute: MINUTE_MS, hour: 60 * MINUTE_MS }
/** How long roll-ups are kept. */
export const KEPT_MS: Record<RollUpUnit, number> = { minute: 48 * UNIT_MS.hour, hour: 90 * 24 * UNIT_MS.hour }
/** How long ends are collected before they are written, in milliseconds: the most that a killed process loses. */
export const FLUSH_MS = 10_000
/** How long a process that ends waits for its last write. */
const CLOSE_MS = 2_000
/** Ends that can't be written for long are dropped above this many rows. */
const MOST_ROWS = 20_000

/**
 * What happened, by minute and hour, so that nobody has to read the history for it. Each process collects the ends of its
 * attempts in memory and adds them to the roll-ups every few seconds: one write, with one upsert for each row. Whatever
 * happens here, no end of an attempt waits for it or fails because of it.
 */
export class RollUps {
  readonly #rows: mongo.Collection<RollUpDocument>
  readonly #clock: Pick<ServerClock, 'now'>
  readonly #log: Logger | undefined
  #sums = new Map<string, Sum>()
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<void> = Promise.resolve()

  constructor(db: mongo.Db, { clock, log }: { clock: Pick<ServerClock, 'now'>; log?: Logger | undefined }) {
    this.#rows = db.collection('stats')
    this.#clock = clock
    this.#log = log
  }

  /** Returns at once and never throws. */
  note(end: End): void {
    const at = floorTo(this.#clock.now().getTime(), MINUTE_MS)
    const { queue, name, host, outcome, status, waitMs, runMs } = end
    const key = [at, queue, name, host, outcome, status].join('\n')
    let sum = this.#sums.get(key)
    if (sum === undefined) {
      if (this.#sums.size >= MOST_ROWS) this.#sums.delete(this.#sums.keys().next().value!)
      sum = { at, queue, name, host, outcome, status, count: 0, waitMs: 0, runMs: 0, wait: new Map(), run: new Map() }
      this.#sums.set(key, sum)
    }
    sum.count += 1
    sum.waitMs += addTo(sum.wait, waitMs)
    sum.runMs += addTo(sum.run, runMs)
    this.#flushSoon()
  }

  /** Writes what was collected. If that fails, it is logged and tried again later. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush())
    return this.#flushing
  }

  /** As `flush`, but does not wait for a database that is away. */
  async close(): Promise<void> {
    await Promise.race([this.flush(), sleep(CLOSE_MS, undefined, { ref: false })])
  }

  #flushSoon(): void {
    // A process may end without waiting for statistics.
    this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref()
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const taken = [...this.#sums.values()]
    if (taken.length === 0) return
    this.#sums = new Map()
    const writes = taken.flatMap((sum) => [upsert('minute', sum), upsert('hour', sum)])
    try {
      await this.#write(writes)
    } catch (error) {
      // Ends of the meantime stay where they are. A row that is there again is added to, as each of its values is a sum.
      for (const sum of taken) this.#giveBack(sum)
      this.#flushSoon()
      this.#log?.warn({ err: asError(error) }, 'statistics could not be stored yet')
    }
  }

  /**
   * Two processes may insert the same row at once; the one that is refused adds to the other's. A row that the server refuses for
   * another reason is dropped: it was edited by hand.
   */
  async #write(writes: readonly mongo.AnyBulkWriteOperation<RollUpDocument>[], again = true): Promise<void> {
    try {
      await this.#rows.bulkWrite([...writes], { ordered: false })
    } catch (error) {
      const refused = error instanceof driver.MongoBulkWriteError ? [error.writeErrors].flat() : []
      if (refused.length === 0) throw error
      const twice = refused.filter(({ code }) => again && code === 11_000).map(({ index }) => writes[index]!)
      if (twice.length < refused.length)
        this.#log?.warn({ err: asError(error) }, 'some statistics could not be stored and are left out')
      if (twice.length > 0) await this.#write(twice, false)
    }
  }

  #giveBack(sum: Sum): void {
    const { at, queue, name, host, outcome, status } = sum
    const key = [at, queue, name, host, outcome, status].join('\n')
    const newer = this.#sums.get(key)
    if (newer !== undefined) {
      newer.count += sum.count
      newer.waitMs += sum.waitMs
      newer.runMs += sum.runMs
      for (const part of ['wait', 'run'] as const)
        for (const [bucket, count] of sum[part]) newer[part].set(bucket, (newer[part].get(bucket) ?? 0) + count)
    } else if (this.#sums.size < MOST_ROWS) this.#sums.set(key, sum)
  }

  /**
   * The roll-ups of a time, the oldest first: rows of one queue, name, host, outcome and status in one minute or hour.
   *
   * @param since included; @param until not included
   * @param visible a filter on `queue` and `name`
   */
  async read(
    unit: RollUpUnit,
    { since, until }: { since: Date; until: Date },
    visible: Record<string, unknown> = {},
    options: mongo.FindOptions = {},
  ): Promise<RolledUp[]> {
    const found = await this.#rows
      .find({ $and: [{ unit, at: { $gte: since, $lt: until } }, visible] } as mongo.Filter<RollUpDocument>, options)
      .sort({ at: 1 })
      .toArray()
    return found.filter(isReadable).map(({ at, queue, name, host, outcome, status, count, waitMs, runMs, ...row }) => ({
      ...{ at, queue, name, host, outcome, status, count, waitMs, runMs },
      wait: bucketsOf(row.wait),
      run: bucketsOf(row.run),
    }))
  }
}

export const floorTo = (ms: number, unitMs: number): number => Math.floor(ms / unitMs) * unitMs

/** @returns the duration if it is one, else 0 */
function addTo(buckets: Map<number, number>, ms: number | undefined): number {
  if (ms === undefined || !Number.isFinite(ms)) return 0
  const duration = Math.max(0, Math.round(ms))
  const bucket = bucketOf(duration)
  buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1)
  return duration
}

/** Queues and names are values of fields, and never names of fields, so any text is safe. */
function upsert(unit: RollUpUnit, sum: Sum): mongo.AnyBulkWriteOperation<RollUpDocument> {
  const { queue, name, host, outcome, status, count, waitMs, runMs } = sum
  const at = floorTo(sum.at, UNIT_MS[unit])
  const counts = [...inc('wait', sum.wait), ...inc('run', sum.run)]
  return {
    updateOne: {
      filter: { _id: [unit, new Date(at).toISOString(), queue, name, host, outcome, status].join('\n') },
      update: {
        $inc: { count, waitMs, runMs, ...Object.fromEntries(counts) } as never,
        $setOnInsert: {
          ...{ unit, at: new Date(at), queue, name, host, outcome, status },
          expireAt: new Date(at + KEPT_MS[unit]),
        },
      },
      upsert: true,
    },
  }
}

const inc = (part: 'wait' | 'run', buckets: Map<number, number>): [string, number][] =>
  [...buckets].map(([bucket, count]) => [`${part}.b${bucket}`, count])

function bucketsOf(stored: unknown): number[] {
  const counts = Object(stored) as Record<string, unknown>
  return Array.from({ length: BUCKET_LIMITS_MS.length + 1 }, (_, bucket) => {
    const count = counts[`b${bucket}`]
    return typeof count === 'number' ? count : 0
  })
}

/** A row that was edited by hand is left out. */
const isReadable = ({ at, queue, name, host, outcome, status, ...numbers }: RollUpDocument): boolean =>
  at instanceof Date &&
  [queue, name, host, outcome, status].every((text) => typeof text === 'string') &&
  [numbers.count, numbers.waitMs, numbers.runMs].every((value) => Number.isFinite(value))
