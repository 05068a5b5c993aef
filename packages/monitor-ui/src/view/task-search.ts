import { hasEnded, PRIORITY_NAMES, type QuerySort, STATUSES, type TaskStatus } from '@taskfleet/protocol'
import { LIST_FIELDS, type TasksRequest } from '../live/queries.ts'
import { changedSearch } from './search.ts'

const OPEN = STATUSES.filter((status) => !hasEnded(status))
const ENDED = STATUSES.filter(hasEnded)
const RUNNING: readonly TaskStatus[] = ['running']

/**
 * The sort orders, by their name in the address, and the statuses whose tasks they put in order. Ids have the order in which tasks
 * were made. Each order has an index within its statuses, so a list never reads the whole history.
 */
export const SORTS: Record<
  '-createdAt' | 'createdAt' | '-priority' | '-startedAt' | 'startedAt' | '-finishedAt',
  { label: string; sort: QuerySort; statuses?: readonly TaskStatus[] }
> = {
  '-createdAt': { label: 'Newest first', sort: { _id: -1 } },
  createdAt: { label: 'Oldest first', sort: { _id: 1 } },
  '-priority': { label: 'Next up', sort: { priority: -1, order: 1 }, statuses: OPEN },
  '-startedAt': { label: 'Last started', sort: { startedAt: -1 }, statuses: OPEN },
  startedAt: { label: 'Longest running', sort: { startedAt: 1 }, statuses: RUNNING },
  '-finishedAt': { label: 'Last ended', sort: { finishedAt: -1 }, statuses: ENDED },
}
export type SortName = keyof typeof SORTS

export const DEFAULT_SORT: SortName = '-createdAt'
export const FIRST_LIMIT = 200
export const MOST_ROWS = 1_000

/** The task list's filters in its address. Absent ones do not filter. */
export interface TaskSearch {
  status?: TaskStatus[]
  name?: string
  /** The name of the worker that ran a task last. */
  host?: string
  queue?: string
  /** A part of the title, or of the text at the path `in`; a whole id finds that task. */
  q?: string
  /** A path such as `labels.origin` or `input.url`. */
  in?: string
  /** `risk`: only tasks that may miss their deadline soon, or have missed it. */
  deadline?: 'risk'
  sort?: SortName
  limit?: number
}

/** The paths of texts that only some tasks have. */
export const SEARCHABLE = /^(labels|input|output|progress)(\.[A-Za-z0-9_-]+)+$/

/** Reads the parameters of an address. Invalid ones are left out. */
export function parseTaskSearch(raw: Record<string, unknown>): TaskSearch {
  const statuses = text(raw.status)?.split(',') ?? []
  const status = STATUSES.filter((known) => statuses.includes(known))
  const sort = text(raw.sort)
  const limit = Number(text(raw.limit))
  return changedSearch<TaskSearch>(
    {},
    {
      status: status.length > 0 ? status : undefined,
      name: text(raw.name),
      host: text(raw.host),
      queue: text(raw.queue),
      q: text(raw.q),
      in: SEARCHABLE.test(text(raw.in) ?? '') ? text(raw.in) : undefined,
      deadline: raw.deadline === 'risk' ? 'risk' : undefined,
      sort: sort !== undefined && Object.hasOwn(SORTS, sort) && sort !== DEFAULT_SORT ? (sort as SortName) : undefined,
      limit: Number.isInteger(limit) && limit > FIRST_LIMIT ? Math.min(limit, MOST_ROWS) : undefined,
    },
  )
}

function text(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  if (Array.isArray(value)) return text(value.join(','))
  return typeof value === 'string' && value !== '' ? value.slice(0, 200) : undefined
}

/** The parameters of an address as plain strings: `status=running,failed&name=download`. */
export function writeTaskSearch(search: TaskSearch): Record<string, string> {
  const { status = [], name, host, queue, q, in: place, deadline, sort, limit } = search
  const written = {
    status: status.join(','),
    name,
    host,
    queue,
    q,
    in: place,
    deadline,
    sort,
    limit: limit?.toString(),
  }
  return changedSearch<Record<string, string>>({}, written)
}

const AN_ID = /^[0-9a-f]{24}$/i

/** Closer than this to its deadline a task is at risk, with any priority. */
const NEAR_MS = 120_000
/** For how long a task that missed its deadline stays in the list after its end. */
const MISSED_MS = 86_400_000

/**
 * Tasks that have missed their deadline, that were raised to high because it is near, or whose deadline is in a moment: the raise
 * may come later than that, and does not show on tasks that were high from the start.
 */
function atRisk(now: number): Record<string, unknown> {
  const { high } = PRIORITY_NAMES
  return {
    $or: [
      { deadlineMissedAt: { $exists: true }, status: { $in: OPEN } },
      { deadlineMissedAt: { $exists: true }, finishedAt: { $gte: new Date(now - MISSED_MS).toISOString() } },
      {
        deadline: { $exists: true },
        basePriority: { $lt: high },
        priority: { $gte: high },
        status: { $in: OPEN },
      },
      { deadline: { $lte: new Date(now + NEAR_MS).toISOString() }, status: { $in: OPEN } },
    ],
  }
}

/**
 * The query that a search means.
 * @param now the server's time in milliseconds, so coarse that the query doesn't change all the time
 */
export function taskQuery(search: TaskSearch, now: number): TasksRequest {
  const filter: Record<string, unknown> = {}
  const { statuses, sort } = SORTS[search.sort ?? DEFAULT_SORT]
  const shown = search.status ?? statuses
  if (shown !== undefined) filter.status = shown.length === 1 ? shown[0] : { $in: [...shown] }
  if (search.name !== undefined) filter.name = search.name
  if (search.queue !== undefined) filter.queue = search.queue
  if (search.host !== undefined) filter.host = search.host
  const q = search.q?.trim()
  if (q !== undefined && q !== '') {
    if (AN_ID.test(q)) filter._id = q.toLowerCase()
    else filter[search.in ?? 'title'] = { $contains: q }
  }
  if (search.deadline !== undefined) Object.assign(filter, atRisk(now))
  return {
    filter,
    sort: { ...sort },
    limit: search.limit ?? FIRST_LIMIT,
    fields: LIST_FIELDS,
  }
}

/** Turns a status on or off. */
export function toggleStatus(search: TaskSearch, status: TaskStatus): TaskSearch {
  const { status: before = [], ...rest } = search
  const after = before.includes(status) ? before.filter((other) => other !== status) : [...before, status]
  return after.length === 0 ? rest : { ...rest, status: STATUSES.filter((known) => after.includes(known)) }
}
