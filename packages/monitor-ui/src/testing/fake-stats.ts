import {
  type FleetStats,
  hasEnded,
  type Percentiles,
  STATUSES,
  type StatsSlot,
  type TaskRow,
  type TaskStatus,
} from '@taskfleet/protocol'
import { iso } from './rows.ts'

const SLOT_MS = 10_000
const SPAN_MS = 300_000
const RATE_MS = 60_000

type Happened = Exclude<keyof StatsSlot, 'at'>

/**
 * Counts, rates and latencies of tasks, as the gateway has them at rest.
 * @param now the server's time in milliseconds
 */
export function statsOf(tasks: Iterable<TaskRow>, now: number): FleetStats {
  const byStatus = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Record<TaskStatus, number>
  const byQueue: FleetStats['byQueue'] = {}
  const byName: FleetStats['byName'] = {}
  const slots = new Map<string, StatsSlot>()
  const waits: number[] = []
  const runs: number[] = []
  const happened = (what: Happened, at: number) => {
    if (at <= now - SPAN_MS || at > now) return
    const start = iso(Math.floor(at / SLOT_MS) * SLOT_MS)
    const slot = slots.get(start) ?? { at: start, enqueued: 0, completed: 0, failed: 0, cancelled: 0 }
    slot[what] += 1
    slots.set(start, slot)
  }
  for (const { status, queue, name, createdAt, runAt, claimedAt, finishedAt } of tasks) {
    byStatus[status] += 1
    count(byQueue, queue, status)
    count(byName, name, status)
    happened('enqueued', Date.parse(createdAt))
    if (!isEnd(status) || finishedAt === undefined) continue
    const ended = Date.parse(finishedAt)
    happened(status, ended)
    if (claimedAt === undefined || ended <= now - SPAN_MS) continue
    const claimed = Date.parse(claimedAt)
    waits.push(Math.max(0, claimed - Math.max(Date.parse(runAt), Date.parse(createdAt))))
    runs.push(ended - claimed)
  }
  const lately = [...slots.values()].sort((a, b) => a.at.localeCompare(b.at))
  const rate = (what: Happened) =>
    lately
      .filter(({ at }) => Date.parse(at) > now - RATE_MS)
      .reduce((sum, slot) => sum + slot[what] / (RATE_MS / 1_000), 0)
  return {
    byStatus,
    byQueue,
    byName,
    rates: {
      enqueued: rate('enqueued'),
      completed: rate('completed'),
      failed: rate('failed'),
      cancelled: rate('cancelled'),
    },
    slots: lately,
    waitMs: percentiles(waits),
    runMs: percentiles(runs),
  }
}

function isEnd(status: TaskStatus): status is 'completed' | 'failed' | 'cancelled' {
  return hasEnded(status)
}

function count(groups: FleetStats['byQueue'], key: string, status: TaskStatus): void {
  const group = groups[key] ?? {}
  group[status] = (group[status] ?? 0) + 1
  groups[key] = group
}

function percentiles(values: number[]): Percentiles {
  if (values.length === 0) return { count: 0 }
  const sorted = values.sort((a, b) => a - b)
  const at = (part: number) => sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] as number
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99) }
}
