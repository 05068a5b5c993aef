import { type FleetStats, hasEnded, STATUSES, type StatsSlot, type TaskStatus } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { CausalReads } from '../database/causal-reads.ts'
import type { ServerClock } from '../database/server-clock.ts'
import { dependsOnKept, type KeptCounts } from '../history/kept-counts.ts'
import { OPEN_STATUSES } from '../task/lifecycle.ts'
import { countOpen } from '../task/open-counts.ts'
import type { TaskDocument } from '../task/task-document.ts'
import { WatchLoop } from '../watch-loop.ts'
import type { Change } from './feed-events.ts'
import type { Matcher } from './matcher.ts'
import { notifyEach } from './notify-each.ts'

export interface LiveStatsOptions {
  tasks: mongo.Collection<TaskDocument>
  clock: ServerClock
  /** If given, a read includes at least all changes that the feed has reported. */
  causal?: Pick<CausalReads, 'read'>
  counts: Pick<KeptCounts, 'ended'>
  filter: Record<string, unknown>
  matches: Matcher
  log?: Logger | undefined
  /** The most tasks that are tracked one by one. If there are more, the counts are queried again instead of kept. */
  most?: number
}

type Listener = (changes: Partial<FleetStats>, seq: number) => void
type Counted = Pick<TaskDocument, '_id' | 'status' | 'queue' | 'name' | 'rev'>
type Ended = Pick<TaskDocument, 'status' | 'runAt' | 'createdAt' | 'claimedAt' | 'finishedAt'>

const MOST_KNOWN = 100_000
/** The shortest time between two notifications of watchers, and the interval at which rates are computed. */
const NOTIFY_MS = 250
const RATES_MS = 1_000
/** The counts are queried this long after a change whose effect isn't known. */
const READ_AGAIN_MS = 2_000
/** The most that reading may take, as a share of the time. */
const READ_SHARE = 1 / 20
const INTERVAL_MS = 10_000
const INTERVALS = 30
const RATE_INTERVALS = 6
const SAMPLES = 2_000
const COUNTED = { status: 1, queue: 1, name: 1, rev: 1 } as const

/**
 * Counts, rates and latencies of the tasks that fit a filter, kept current by the change feed. Open tasks are tracked one by
 * one, so each change moves a task from one count to another. If a move isn't known, for example at the removal of a task that
 * ended long ago, the counts are queried again a moment later. Without changes they are exact.
 */
export class LiveStats {
  readonly #options: LiveStatsOptions
  readonly #most: number
  readonly #listeners = new Set<Listener>()
  readonly #known = new Map<string, { group: string; rev: number }>()
  #counts = new Map<string, number>()
  #intervals: StatsSlot[] = []
  #samples: { at: number; wait: number; run: number }[] = []
  #kept: Change[] | null = null
  #reading: Promise<void> | undefined
  #restUntil = 0
  readonly #reads: WatchLoop
  /** Notifies regularly, since rates change even if no task does. */
  readonly #notifications: WatchLoop
  #seq = 0
  #published: FleetStats | undefined
  /** When the history was counted last; undefined if the counts of ended tasks are exact. */
  #auditedAt: Date | undefined
  /** Whether there are too many tasks to track them one by one. */
  #coarse = false

  constructor(options: LiveStatsOptions) {
    this.#options = options
    this.#most = options.most ?? MOST_KNOWN
    const { log } = options
    const failed = 'statistics could not be read; trying again'
    this.#reads = new WatchLoop({ look: () => this.#read(), retryMs: READ_AGAIN_MS, log, failed })
    const notify = async (): Promise<void> => this.#notify()
    this.#notifications = new WatchLoop({
      look: notify,
      everyMs: RATES_MS,
      log,
      failed: 'statistics could not be sent',
    })
  }

  /** Reads for the first time. The caller must already pass changes to `change`. */
  async open(): Promise<void> {
    await Promise.all([this.#reads.start(), this.#notifications.start()])
    await this.#loadRecent()
    await this.#read()
    this.#published = this.#compute()
  }

  close(): void {
    void this.#reads.stop()
    void this.#notifications.stop()
    this.#listeners.clear()
  }

  get seq(): number {
    return this.#seq
  }

  /** As of `seq`. */
  get stats(): FleetStats {
    this.#published ??= this.#compute()
    return this.#published
  }

  /** Returns a function that unsubscribes. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** All counts are invalid, because changes were missed. */
  lost(): void {
    this.#readSoon(0)
  }

  change(change: Change): void {
    if (this.#kept !== null) this.#kept.push(change)
    else this.#apply(change)
  }

  #apply({ id, doc }: Change): void {
    const key = String(id)
    const before = this.#known.get(key)
    if (doc === null) {
      // The task isn't known: it ended long ago, or it doesn't fit the filter.
      if (before === undefined) this.#readSoon()
      else this.#forget(key, before.group)
      return
    }
    const task = doc as TaskDocument
    if (before !== undefined && task.rev <= before.rev) return
    const matches = this.#options.matches(doc)
    if (before === undefined && task.rev > 1 && (matches || this.#coarse)) this.#readSoon()
    if (before === undefined && task.rev > 1) return
    if (before !== undefined) this.#forget(key, before.group)
    if (!matches) return
    this.#count(task)
    if (before === undefined && task.createdAt instanceof Date) this.#interval(task.createdAt).enqueued += 1
    if (hasEnded(task.status)) this.#ended(task)
  }

  #forget(key: string, group: string): void {
    this.#known.delete(key)
    this.#counts.set(group, (this.#counts.get(group) ?? 1) - 1)
    this.#notifySoon()
  }

  #count(task: Counted): void {
    const group = groupOf(task)
    if (!this.#coarse) this.#known.set(String(task._id), { group, rev: task.rev })
    this.#counts.set(group, (this.#counts.get(group) ?? 0) + 1)
    // The tasks that ended first are dropped first. If one of them changes, the counts are queried again.
    if (this.#known.size > this.#most) this.#dropEnded()
    this.#notifySoon()
  }

  #dropEnded(): void {
    for (const [id, { group }] of this.#known) {
      if (!hasEnded(group.split('\n')[0] as TaskStatus)) continue
      this.#known.delete(id)
      return
    }
    this.#readSoon()
  }

  #readSoon(ms = READ_AGAIN_MS): void {
    this.#reads.lookIn(Math.max(ms, this.#restUntil - performance.now()))
  }

  async #read(): Promise<void> {
    this.#reading ??= this.#readNow().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #readNow(): Promise<void> {
    const startedAt = performance.now()
    this.#kept = []
    try {
      const open = await this.#readOpen()
      this.#coarse = open.length > this.#most
      const { counts, auditedAt } = await this.#readCounts()
      this.#auditedAt = auditedAt
      this.#known.clear()
      this.#counts = counts
      if (!this.#coarse) for (const task of open) this.#count(task)
    } finally {
      const kept = this.#kept
      this.#kept = null
      this.#restUntil = performance.now() + (performance.now() - startedAt) / READ_SHARE
      this.#notifySoon()
      // The task ended during the read, so it isn't known whether the read counted it.
      if (kept.some(({ doc }) => doc === null || hasEnded(doc.status as TaskStatus))) this.#readSoon()
      for (const change of kept) this.#apply(change)
    }
  }

  /** Up to one more than are tracked. Each status has an index of its own. */
  async #readOpen(): Promise<Counted[]> {
    const { tasks, filter } = this.#options
    const open: Counted[] = []
    for (const status of OPEN_STATUSES) {
      const unended = { $and: [{ status }, filter] } as mongo.Filter<TaskDocument>
      const limit = this.#most + 1 - open.length
      if (limit <= 0) break
      const found = await this.#causally((within) =>
        tasks
          .find(unended, { projection: COUNTED, ...within })
          .limit(limit)
          .toArray(),
      )
      open.push(...found)
    }
    return open
  }

  /** Of the ended tasks, and of the open ones if there are too many to track. */
  async #readCounts(): Promise<{ counts: Map<string, number>; auditedAt: Date | undefined }> {
    const { tasks, filter, matches, counts } = this.#options
    const sees = dependsOnKept(filter) ? matches : undefined
    return this.#causally(async (within) => {
      const open = this.#coarse ? await countOpen(tasks, filter, within) : []
      const ended = await counts.ended({ filter, sees: sees as never }, within)
      return {
        counts: new Map([...open, ...ended.counts].map((group) => [groupOf(group), group.count])),
        auditedAt: ended.auditedAt,
      }
    })
  }

  /** @param read runs in a causally consistent session if there is one */
  #causally<T>(read: (within: { session?: mongo.ClientSession }) => Promise<T>): Promise<T> {
    const { causal } = this.#options
    return causal === undefined ? read({}) : causal.read((session) => read({ session }))
  }

  /** Reads the tasks that ended in the last minutes, so that rates are right just after a start. */
  async #loadRecent(): Promise<void> {
    const { tasks, clock, filter } = this.#options
    const since = new Date(clock.now().getTime() - INTERVALS * INTERVAL_MS)
    const recent = await tasks
      .find({ $and: [filter, { finishedAt: { $gte: since } }] } as mongo.Filter<TaskDocument>, {
        projection: { status: 1, runAt: 1, createdAt: 1, claimedAt: 1, finishedAt: 1 },
      })
      .sort({ finishedAt: -1 })
      .limit(SAMPLES)
      .toArray()
    for (const task of recent.reverse()) {
      this.#ended(task)
      if (task.createdAt instanceof Date && task.createdAt >= since) this.#interval(task.createdAt).enqueued += 1
    }
  }

  #ended(task: Ended): void {
    const { status, finishedAt, claimedAt, runAt, createdAt } = task
    // A task that was edited by hand may lack any field.
    if (!(finishedAt instanceof Date) || !hasEnded(status)) return
    const interval = this.#interval(finishedAt)
    interval[status as 'completed' | 'failed' | 'cancelled'] += 1
    if (!(claimedAt instanceof Date && runAt instanceof Date && createdAt instanceof Date)) return
    const due = Math.max(runAt.getTime(), createdAt.getTime())
    const wait = Math.max(0, claimedAt.getTime() - due)
    const run = finishedAt.getTime() - claimedAt.getTime()
    this.#samples.push({ at: finishedAt.getTime(), wait, run })
    if (this.#samples.length > SAMPLES) this.#samples.shift()
  }

  #interval(date: Date): StatsSlot {
    const at = new Date(Math.floor(date.getTime() / INTERVAL_MS) * INTERVAL_MS).toISOString()
    const there = this.#intervals.findLast((interval) => interval.at === at)
    if (there !== undefined) return there
    const interval = { at, enqueued: 0, completed: 0, failed: 0, cancelled: 0 }
    this.#intervals = [...this.#intervals, interval].sort((a, b) => (a.at < b.at ? -1 : 1)).slice(-INTERVALS)
    return interval
  }

  #notifySoon(): void {
    this.#notifications.lookIn(NOTIFY_MS)
  }

  /** Sends only the parts that have changed. */
  #notify(): void {
    if (this.#kept !== null || this.#published === undefined) return
    const now = this.#compute()
    const before = this.#published
    const changes = Object.fromEntries(
      Object.entries(now).filter(
        ([part, value]) => JSON.stringify(value) !== JSON.stringify(before[part as keyof FleetStats]),
      ),
    ) as Partial<FleetStats>
    if (Object.keys(changes).length === 0) return
    this.#published = now
    this.#seq += 1
    notifyEach(this.#listeners, (listener) => listener(changes, this.#seq), {
      log: this.#options.log,
      failed: 'a listener of statistics failed',
    })
  }

  #compute(): FleetStats {
    const byStatus = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Record<TaskStatus, number>
    const byQueue = new Map<string, Partial<Record<TaskStatus, number>>>()
    const byName = new Map<string, Partial<Record<TaskStatus, number>>>()
    for (const [group, count] of this.#counts) {
      if (count <= 0) continue
      const [status, queue, name] = group.split('\n') as [TaskStatus, string, string]
      // A task without a valid status is set aside and not counted.
      if (!Object.hasOwn(byStatus, status)) continue
      byStatus[status] = (byStatus[status] ?? 0) + count
      for (const [counts, key] of [[byQueue, queue] as const, [byName, name] as const]) {
        const part = counts.get(key) ?? {}
        counts.set(key, part)
        part[status] = (part[status] ?? 0) + count
      }
    }
    const now = this.#options.clock.now().getTime()
    const since = now - INTERVALS * INTERVAL_MS
    this.#intervals = this.#intervals.filter(({ at }) => Date.parse(at) >= since)
    this.#samples = this.#samples.filter(({ at }) => at >= since)
    const rateSince = now - RATE_INTERVALS * INTERVAL_MS
    const rate = (part: 'enqueued' | 'completed' | 'failed' | 'cancelled'): number => {
      const sum = this.#intervals
        .filter(({ at }) => Date.parse(at) > rateSince)
        .reduce((total, interval) => total + interval[part], 0)
      return Number((sum / ((RATE_INTERVALS * INTERVAL_MS) / 1_000)).toFixed(2))
    }
    return {
      byStatus,
      byQueue: Object.fromEntries(byQueue),
      byName: Object.fromEntries(byName),
      rates: {
        enqueued: rate('enqueued'),
        completed: rate('completed'),
        failed: rate('failed'),
        cancelled: rate('cancelled'),
      },
      slots: this.#intervals.map((interval) => ({ ...interval })),
      ...(this.#auditedAt === undefined ? {} : { auditedAt: this.#auditedAt.toISOString() }),
      waitMs: percentiles(this.#samples.map(({ wait }) => wait)),
      runMs: percentiles(this.#samples.map(({ run }) => run)),
    }
  }
}

/** Statuses, queues and names contain no line feed, so it can separate them. */
const groupOf = ({ status, queue, name }: Pick<Counted, 'status' | 'queue' | 'name'>): string =>
  `${status}\n${queue}\n${name}`

/** Uses the nearest-rank method. */
function percentiles(values: number[]): FleetStats['waitMs'] {
  if (values.length === 0) return { count: 0 }
  const sorted = values.sort((a, b) => a - b)
  const at = (part: number): number => sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)]!
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99) }
}
