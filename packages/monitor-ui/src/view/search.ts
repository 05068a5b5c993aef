import type { ErrorState, EventStatus, QueryRequest } from '@taskfleet/protocol'
import { EVENT_STATUSES } from './event-status.ts'

/** The parameters of a page's address. Absent ones do not filter. */
type RawSearch = Record<string, unknown>

export interface ErrorSearch {
  /** Open errors without it. */
  state?: Exclude<ErrorState, 'open'>
}

export interface ScheduleSearch {
  /** A part of the name. */
  name?: string
}

export interface EventSearch extends ScheduleSearch {
  status?: EventStatus
}

/** The filters of the audit log. */
export interface HistorySearch {
  /** A part of the key's name or id. */
  who?: string
  /** An action, such as `queue pause`. */
  did?: string
  /** A part of the target, the reason or the filter. */
  about?: string
}

export interface LineSearch {
  /** A line of the task's log: `2.100` is line 100 of attempt 2. */
  line?: string
}

export function parseLineSearch({ line }: RawSearch): LineSearch {
  return typeof line === 'string' && /^[\d.]{1,20}$/.test(line) ? { line } : {}
}

export function parseErrorSearch({ state }: RawSearch): ErrorSearch {
  return state === 'resolved' || state === 'ignored' ? { state } : {}
}

export function parseScheduleSearch({ name }: RawSearch): ScheduleSearch {
  return changedSearch({}, { name: typeof name === 'string' ? name.trim().slice(0, 128) : '' })
}

export function parseHistorySearch({ who, did, about }: RawSearch): HistorySearch {
  const text = (value: unknown) => (typeof value === 'string' ? value.trim().slice(0, 128) : '')
  return changedSearch<HistorySearch>({}, { who: text(who), did: text(did), about: text(about) })
}

export function parseEventSearch(raw: RawSearch): EventSearch {
  const status = EVENT_STATUSES.find((known) => known === raw.status)
  return changedSearch<EventSearch>({}, { status, ...parseScheduleSearch(raw) })
}

/** The search with some parameters changed. Empty ones are left out. */
export function changedSearch<Search extends object>(
  search: Search,
  changes: { [Name in keyof Search]?: Search[Name] | undefined | '' },
): Search {
  const entries = Object.entries({ ...search, ...changes }).filter(([, value]) => value !== undefined && value !== '')
  return Object.fromEntries(entries) as Search
}

interface EventsRequest extends QueryRequest {
  collection: 'events'
}

/** The newest events that match a search. */
export function eventsQuery({ status, name }: EventSearch, limit: number): EventsRequest {
  const filter = { ...(status !== undefined && { status }), ...(name !== undefined && { name: { $contains: name } }) }
  return { collection: 'events', filter, sort: { _id: -1 }, limit }
}

/** The page *Now*: `?wall=1` shows it without the frame, for a screen on a wall. */
export interface NowSearch {
  wall?: '1'
}

export function parseNowSearch({ wall }: Record<string, unknown>): NowSearch {
  return wall === '1' ? { wall } : {}
}

/** The page *Downloads*. */
export interface DownloadSearch {
  /** The id of the running download whose segments are shown. */
  open?: string
  /** `all`: every running download, not only the first ones. */
  show?: 'all'
}

export function parseDownloadSearch({ open, show }: RawSearch): DownloadSearch {
  return {
    ...(typeof open === 'string' && /^[0-9a-f]{24}$/.test(open) && { open }),
    ...(show === 'all' && { show }),
  }
}
