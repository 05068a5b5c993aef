import { hasEnded, type TaskStatus } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { ServerClock } from '../database/server-clock.ts'
import { LATEST, statusesOf } from '../live/by-phase.ts'
import { ENDED_STATUSES } from '../task/lifecycle.ts'
import type { TaskCount } from '../task/open-counts.ts'
import { amount, millis, NOW } from '../task/server-time.ts'
import type { TaskDocument } from '../task/task-document.ts'
import { FLUSH_MS, floorTo, type RollUps, UNIT_MS } from './roll-ups.ts'

/** How many tasks of each status, queue and name had ended before `at`. */
interface KeptDocument extends TaskCount {
  _id: string
  unit: 'kept'
  at: Date
  expireAt: Date
}

interface AuditState {
  _id: 'countAudit'
  /** When an audit began last. */
  at?: Date
  /** The counts that are valid: those of tasks that ended before this date. */
  counted?: Date
  tookMs?: number
}

export interface KeptCountsDeps {
  db: mongo.Db
  tasks: mongo.Collection<TaskDocument>
  clock: Pick<ServerClock, 'now'>
  rollUps: RollUps
  log?: Logger | undefined
  /** In smaller collections ended tasks are counted one by one. */
  fewTasks?: number
}

/** The counts of ended tasks. */
export interface EndedCounts {
  counts: TaskCount[]
  /**
   * When the history was counted last. Absent if the counts are exact; else, tasks that were removed or retried since are still counted,
   * and so are tasks that a killed process ended in its last seconds not yet.
   */
  auditedAt?: Date
}

/** A filter of tasks, and whether it holds for tasks of a status, queue and name; undefined if it depends on more. */
export interface EndedFilter {
  filter: Record<string, unknown>
  sees: ((count: Pick<TaskCount, 'status' | 'queue' | 'name'>) => boolean) | undefined
}

const FEW_TASKS = 100_000
/** How often the history is counted at most, and which share of the time that may take. */
const AUDIT_EVERY_MS = 600_000
const AUDIT_SHARE = 1 / 50
const MOST_AUDIT_MS = 1_800_000
/** Every process has written its roll-ups of a minute this long after it. */
const FLUSHED_MS = 3 * FLUSH_MS
const KEPT_MS = 48 * UNIT_MS.hour
const MAX_QUERY_MS = 2_000

/**
 * Counts ended tasks without reading the history. An audit counts all of them from time to time, along the keys of one index, and stores
 * the counts. A reader adds the roll-ups of the minutes since, and counts the last moments along the same index.
 */
export class KeptCounts {
  readonly #deps: KeptCountsDeps
  readonly #kept: mongo.Collection<KeptDocument>
  readonly #settings: mongo.Collection<AuditState>

  constructor(deps: KeptCountsDeps) {
    this.#deps = deps
    this.#kept = deps.db.collection('stats')
    this.#settings = deps.db.collection('settings')
  }

  /** @throws {FleetError} `QUERY_TOO_SLOW` for a filter on other fields than status, queue and name in a large history */
  async ended({ filter, sees }: EndedFilter, options: mongo.AggregateOptions = {}): Promise<EndedCounts> {
    const { tasks, fewTasks = FEW_TASKS } = this.#deps
    if (statusesOf(filter)?.some(hasEnded) === false) return { counts: [] }
    const few = (await tasks.estimatedDocumentCount()) <= fewTasks
    if (few) return { counts: await this.#count({ status: { $in: [...ENDED_STATUSES] } }, filter, options) }
    const state = await this.#settings.findOne({ _id: 'countAudit' })
    if (sees === undefined || !(state?.counted instanceof Date)) {
      const withTime = { ...options, maxTimeMS: MAX_QUERY_MS }
      return { counts: await this.#count({ finishedAt: { $lte: LATEST } }, filter, withTime) }
    }
    return { counts: await this.#keptSince(state.counted, { filter, sees }, options), auditedAt: state.counted }
  }

  async #keptSince(
    counted: Date,
    { filter, sees }: { filter: EndedFilter['filter']; sees: NonNullable<EndedFilter['sees']> },
    options: mongo.AggregateOptions,
  ): Promise<TaskCount[]> {
    const { clock, rollUps } = this.#deps
    const now = clock.now().getTime()
    const flushed = new Date(Math.max(counted.getTime(), floorTo(now - FLUSHED_MS, UNIT_MS.minute)))
    const kept = await this.#kept.find({ unit: 'kept', at: counted }, within(options)).toArray()
    const minutes = await rollUps.read('minute', { since: counted, until: flushed }, {}, within(options))
    const last = await this.#count({ finishedAt: { $gte: flushed } }, filter, options)
    return summed([...[...kept, ...minutes].filter((one) => hasEnded(one.status) && sees(one)), ...last])
  }

  async #count(which: object, filter: object, options: mongo.AggregateOptions): Promise<TaskCount[]> {
    const groups = await this.#deps.tasks
      .aggregate<{ _id: Omit<TaskCount, 'count'>; count: number }>(
        [
          { $match: { $and: [filter, which] } },
          { $group: { _id: { status: '$status', queue: '$queue', name: '$name' }, count: { $sum: 1 } } },
        ],
        options,
      )
      .toArray()
    return groups.map(({ _id, count }) => ({ ..._id, count }))
  }

  /** Counts the history anew unless a process has done so recently. @returns whether it did */
  async auditIfDue(): Promise<boolean> {
    const restMs = { $min: [{ $max: [AUDIT_EVERY_MS, { $divide: [amount('$tookMs'), AUDIT_SHARE] }] }, KEPT_MS / 2] }
    const due = { $lte: [{ $add: [millis('$at', 0), restMs] }, { $toLong: NOW }] }
    const take = async (): Promise<boolean> =>
      (await this.#settings.updateOne({ _id: 'countAudit', $expr: due }, [{ $set: { at: NOW } }])).matchedCount === 1
    if (!(await take())) {
      const none = { $setOnInsert: { at: new Date(0) } }
      const { upsertedCount } = await this.#settings.updateOne({ _id: 'countAudit' }, none, { upsert: true })
      if (upsertedCount === 0 || !(await take())) return false
    }
    await this.audit()
    return true
  }

  /** Counts all ended tasks along the keys of the index `ended`, and logs by how much the kept counts were wrong. */
  async audit(): Promise<void> {
    const { clock, log, rollUps } = this.#deps
    const startedAt = performance.now()
    const counted = new Date(floorTo(clock.now().getTime() - FLUSHED_MS, UNIT_MS.minute))
    const before = (await this.#settings.findOne({ _id: 'countAudit' }))?.counted
    const counts = await this.#count({ finishedAt: { $lt: counted } }, {}, { maxTimeMS: MOST_AUDIT_MS })
    const readable = counts.filter(({ status, queue, name }) =>
      [status, queue, name].every((text) => typeof text === 'string'),
    )
    if (before instanceof Date && before < counted) {
      const kept = await this.#kept.find({ unit: 'kept', at: before }).toArray()
      const minutes = await rollUps.read('minute', { since: before, until: counted })
      const drift = total(readable) - total([...kept, ...minutes.filter(({ status }) => hasEnded(status))])
      if (drift !== 0)
        log?.info(
          { code: 'COUNTS_CORRECTED', drift, total: total(readable), since: before },
          'the counts of ended tasks were corrected; removed and retried tasks are in them until then',
        )
    }
    const expireAt = new Date(counted.getTime() + KEPT_MS)
    const rows = readable.map(({ status, queue, name, count }) => ({
      ...{ _id: ['kept', counted.toISOString(), status, queue, name].join('\n'), unit: 'kept' as const },
      ...{ at: counted, status, queue, name, count, expireAt },
    }))
    for (const row of rows) await this.#kept.replaceOne({ _id: row._id }, row, { upsert: true })
    const tookMs = Math.round(performance.now() - startedAt)
    // Readers change to the new counts by this one write.
    await this.#settings.updateOne({ _id: 'countAudit' }, { $max: { counted }, $set: { tookMs } }, { upsert: true })
  }
}

const within = ({ session }: mongo.AggregateOptions): mongo.FindOptions => (session === undefined ? {} : { session })

const total = (counts: readonly { count: number }[]): number => counts.reduce((sum, { count }) => sum + count, 0)

function summed(counts: readonly TaskCount[]): TaskCount[] {
  const sums = new Map<string, TaskCount>()
  for (const { status, queue, name, count } of counts) {
    const key = `${status}\n${queue}\n${name}`
    const there = sums.get(key)
    if (there === undefined) sums.set(key, { status: status as TaskStatus, queue, name, count })
    else there.count += count
  }
  return [...sums.values()]
}

const COUNTED_FIELDS = new Set(['status', 'queue', 'name'])

/** Whether a filter depends on nothing but the status, the queue and the name of a task. */
export function dependsOnKept(filter: unknown): boolean {
  return Object.entries(Object(filter) as Record<string, unknown>).every(([field, condition]) =>
    Array.isArray(condition) && field.startsWith('$') ? condition.every(dependsOnKept) : COUNTED_FIELDS.has(field),
  )
}
