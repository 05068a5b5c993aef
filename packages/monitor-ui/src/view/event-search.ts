import type { EventStatus, QueryRequest } from '@taskfleet/protocol'
import { EVENT_STATUSES } from './event-status.ts'

/** What the events page shows, as its address says it; all without. */
export interface EventSearch {
  status?: EventStatus
  /** A part of the name. */
  name?: string
}

export function parseEventSearch(raw: Record<string, unknown>): EventSearch {
  const search: EventSearch = {}
  const status = EVENT_STATUSES.find((known) => known === raw.status)
  if (status !== undefined) search.status = status
  const name = typeof raw.name === 'string' ? raw.name.trim().slice(0, 128) : ''
  if (name !== '') search.name = name
  return search
}

interface EventsRequest extends QueryRequest {
  collection: 'events'
}

/** The newest events that a search means. */
export function eventsQuery({ status, name }: EventSearch, limit: number): EventsRequest {
  const filter: Record<string, unknown> = {}
  if (status !== undefined) filter.status = status
  if (name !== undefined) filter.name = { $contains: name }
  return { collection: 'events', filter, sort: { createdAt: -1 }, limit }
}
