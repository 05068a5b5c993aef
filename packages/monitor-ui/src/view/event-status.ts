import type { EventRow, EventStatus } from '@taskfleet/protocol'
import { Ban, CalendarClock, CircleCheck, CircleX, Play } from 'lucide-react'
import { formatAge, formatDuration, formatLatency } from './format.ts'
import type { Look } from './status.ts'

/** The look of each status. A new one does not compile until it has an entry. */
export const EVENT_LOOK: Record<EventStatus, Look> = {
  scheduled: { icon: CalendarClock, label: 'Scheduled', tone: 'text-wait' },
  processing: { icon: Play, label: 'Processing', tone: 'text-run' },
  finished: { icon: CircleCheck, label: 'Finished', tone: 'text-done' },
  failed: { icon: CircleX, label: 'Failed', tone: 'text-bad' },
  cancelled: { icon: Ban, label: 'Cancelled', tone: 'text-dim' },
}

export const EVENT_STATUSES = Object.keys(EVENT_LOOK) as EventStatus[]

/** Whether its tasks may still run. */
export function isOpen(status: EventStatus): boolean {
  return status === 'scheduled' || status === 'processing'
}

/**
 * The timing of an event: the time until its date, since its start, or since its end.
 * @param now the server's time in milliseconds
 */
export function eventWhen(event: EventRow, now: number): string {
  const { status, scheduledFor, startedAt, processedAt, createdAt } = event
  const due = Date.parse(scheduledFor)
  if (status === 'scheduled') return due > now ? `in ${formatDuration(due - now)}` : `due for ${formatAge(now - due)}`
  if (status === 'processing') return `for ${formatDuration(now - Date.parse(startedAt ?? scheduledFor))}`
  if (processedAt === undefined) return ''
  const began = startedAt ?? (due > Date.parse(createdAt) ? scheduledFor : createdAt)
  const took = Date.parse(processedAt) - Date.parse(began)
  const ago = `${formatAge(now - Date.parse(processedAt))} ago`
  return startedAt === undefined ? ago : `${ago}, took ${formatLatency(took)}`
}
