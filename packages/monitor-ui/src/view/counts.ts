import { STATUSES, type TaskStatus } from '@taskfleet/protocol'

/** The state of a task, in three groups. */
type Phase = 'waiting' | 'running' | 'ended'

const PHASE: Record<TaskStatus, Phase> = {
  pending: 'waiting',
  paused: 'waiting',
  blocked: 'waiting',
  running: 'running',
  completed: 'ended',
  failed: 'ended',
  cancelled: 'ended',
}

/** Tasks by status; an absent status is 0. */
export type Counts = Readonly<Partial<Record<TaskStatus, number>>>

/** How many wait, run and have ended. */
export function phases(counts: Counts): Record<Phase, number> {
  const sums: Record<Phase, number> = { waiting: 0, running: 0, ended: 0 }
  for (const status of STATUSES) sums[PHASE[status]] += counts[status] ?? 0
  return sums
}

/** `1,204`. */
export function formatCount(count: number): string {
  return count.toLocaleString('en')
}

/** `12,345`, `12.3k`, `4.57M`: for narrow places. */
export function formatCountShort(count: number): string {
  if (count < 10_000) return formatCount(count)
  return count.toLocaleString('en', { notation: 'compact', maximumSignificantDigits: 3 }).replace('K', 'k')
}

/** `1 task`, `2,000 tasks`, and `100+ tasks` where there may be more. */
export function countOf(count: number, noun: string, isCut = false): string {
  return `${formatCount(count)}${isCut ? '+' : ''} ${count === 1 && !isCut ? noun : `${noun}s`}`
}
