import type { QueueLimits, QueueListRow, QueueRow, TaskStatus } from '@taskfleet/protocol'
import { requireReach, visibleTo } from '../auth/reach.ts'
import { toRow } from '../live/wire.ts'
import { countOpen } from '../task/open-counts.ts'
import { parseQueue } from '../task/parse-value.ts'
import { Commands } from './commands.ts'
import { limitsText } from './queue-limits.ts'

const MAX_QUERY_MS = 2_000

interface Named {
  name: string
  reason?: string
}

type Counts = Partial<Record<TaskStatus, number>>

/** Queues: their tasks and their limits. */
export class QueueCommands extends Commands<'queues' | 'tasks' | 'counts'> {
  /** All queues with tasks or settings. @throws {FleetError} `QUERY_TOO_SLOW` */
  async list(): Promise<QueueListRow[]> {
    const { queues, names } = this.principal
    const filter = visibleTo(this.principal) ?? {}
    const within = { maxTimeMS: MAX_QUERY_MS }
    const sees = ({ queue, name }: { queue: string; name: string }): boolean =>
      queues?.includes(queue) !== false && names?.includes(name) !== false
    const [settings, open, { counts: ended }] = await Promise.all([
      // A queue's settings apply to all names, so keys that are limited to names don't see them.
      names === undefined ? this.parts.queues.list() : [],
      countOpen(this.parts.tasks, filter, within),
      this.parts.counts.ended({ filter, sees }, within),
    ])
    const counts = new Map<string, Counts>()
    for (const { queue, status, count } of [...open, ...ended]) {
      const ofQueue = counts.get(queue) ?? {}
      counts.set(queue, { ...ofQueue, [status]: (ofQueue[status] ?? 0) + count })
    }
    const rows = new Map(settings.map((one) => [one._id, toRow<QueueRow>('queues', one as never)]))
    const visible = [...new Set([...counts.keys(), ...rows.keys()])].filter((name) => queues?.includes(name) !== false)
    return visible.sort().map((_id) => ({ paused: false, ...rows.get(_id), _id, counts: counts.get(_id) ?? {} }))
  }

  pause({ name, reason }: Named): Promise<QueueRow> {
    return this.#setPaused(name, true, reason)
  }

  resume({ name, reason }: Named): Promise<QueueRow> {
    return this.#setPaused(name, false, reason)
  }

  /**
   * Sets how many tasks of a queue may run at once, start within a time, and wait. `null` removes a limit.
   * @throws {FleetError} `BAD_QUEUE`, `OUT_OF_RANGE`, `BAD_DURATION`, `QUEUE_NOT_ALLOWED`, `FORBIDDEN`
   */
  async limit({ name, limits }: { name: string; limits: QueueLimits }): Promise<QueueRow> {
    const queue = this.#queue(name)
    const changed = await this.parts.queues.setLimits(queue, limits, this.by)
    await this.record('queue limit', { target: queue, changed: 1, reason: limitsText(limits) })
    return toRow<QueueRow>('queues', changed as never)
  }

  /** Replaces all limits: omitted ones get their defaults. @throws {FleetError} as `limit` */
  async replace({
    name,
    settings,
    reason,
  }: Named & { settings: QueueLimits & { paused?: boolean } }): Promise<QueueRow> {
    const { paused = false, concurrency = null, rate = null, maxWaiting = null } = settings
    await this.limit({ name, limits: { concurrency, rate, maxWaiting } })
    return this.#setPaused(name, paused, reason)
  }

  async #setPaused(name: string, paused: boolean, reason?: string): Promise<QueueRow> {
    const queue = this.#queue(name)
    const changed = await this.parts.queues.setPaused(queue, paused, this.by, reason)
    await this.record(paused ? 'queue pause' : 'queue resume', { target: queue, changed: 1, reason })
    return toRow<QueueRow>('queues', changed as never)
  }

  /** @throws {FleetError} `BAD_QUEUE`, `QUEUE_NOT_ALLOWED`, `FORBIDDEN` for a key that is limited to names */
  #queue(name: string): string {
    const queue = parseQueue(name)
    if (this.principal.names !== undefined) this.requireUnlimited('change queues')
    requireReach(this.principal, { queue, name: '' })
    return queue
  }
}
