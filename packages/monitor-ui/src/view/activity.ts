import type { FleetStats, StatsSlot } from '@taskfleet/protocol'

const SLOT_MS = 10_000
const SLOTS = 30

/** The last five minutes in slots of ten seconds, empty ones filled in; the current one, not over yet, comes last. */
export function lastSlots(slots: readonly StatsSlot[], now: number): StatsSlot[] {
  const known = new Map(slots.map((slot) => [Math.floor(Date.parse(slot.at) / SLOT_MS), slot]))
  // The server's clock is only known so well: what it says has begun has begun.
  const current = Math.max(Math.floor(now / SLOT_MS), ...known.keys())
  return Array.from({ length: SLOTS }, (_, index) => {
    const place = current - SLOTS + 1 + index
    const at = new Date(place * SLOT_MS).toISOString()
    return known.get(place) ?? { at, enqueued: 0, completed: 0, failed: 0, cancelled: 0 }
  })
}

/** What happened in all of the slots together. */
export function sumSlots(slots: readonly StatsSlot[]): Omit<StatsSlot, 'at'> {
  const sums = { enqueued: 0, completed: 0, failed: 0, cancelled: 0 }
  for (const slot of slots) {
    sums.enqueued += slot.enqueued
    sums.completed += slot.completed
    sums.failed += slot.failed
    sums.cancelled += slot.cancelled
  }
  return sums
}

/** How many tasks end in a second, however they do. */
export function endedRate({ completed, failed, cancelled }: FleetStats['rates']): number {
  return completed + failed + cancelled
}

/** `1,250/s`, `2.4/s`, and where a second is too short to say it, `14/min`. */
export function formatTaskRate(perSecond: number): string {
  if (perSecond <= 0) return '0/min'
  if (perSecond >= 1) return `${rounded(perSecond)}/s`
  return `${rounded(perSecond * 60)}/min`
}

function rounded(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: value < 9.95 ? 1 : 0 })
}
