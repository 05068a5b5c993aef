import { hasEnded, PRIORITY_NAMES, type QuerySort, STATUSES, type TaskStatus } from '@taskfleet/protocol'
import { LIST_FIELDS, type TasksRequest } from '../live/queries.ts'
import type { Range } from './range.ts'
import { changedSearch } from './search.ts'
import { tokenFilter } from './task-tokens.ts'

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

const DEFAULT_SORT: SortName = '-createdAt'
export const FIRST_LIMIT = 200
export const MOST_ROWS = 1_000

/** The task list's filters in its address. Absent ones do not filter. */
export interface TaskSearch {
  status?: TaskStatus[]
  name?: string
  /** The name of the worker that ran a task last. */
  host?: string
  queue?: string
  /** All else that is searched for: words of the title, an id, tokens such as `label.origin:mirror` and `ended:<1h`. */
  q?: string
  /** `risk`: only tasks that may miss their deadline soon, or have missed it. */
  deadline?: 'risk'
  sort?: SortName
  limit?: number
  /** The columns of the list in their order, with widths and pins (`columnsOf`); the reader's own choice without it. */
  columns?: string
  /** The id of the task that is open beside the list. */
  open?: string
}

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
      q: wordsOf(raw),
      deadline: raw.deadline === 'risk' ? 'risk' : undefined,
      sort: sort !== undefined && Object.hasOwn(SORTS, sort) ? (sort as SortName) : undefined,
      limit: Number.isInteger(limit) && limit > FIRST_LIMIT ? Math.min(limit, MOST_ROWS) : undefined,
      columns: matching(COLUMNS, raw.columns),
      open: matching(AN_ID, raw.open),
    },
  )
}

const AN_ID = /^[0-9a-f]{24}$/
const COLUMNS = /^[\w.:-]+(,[\w.:-]+){0,19}$/
const matching = (form: RegExp, value: unknown): string | undefined =>
  typeof value === 'string' && form.test(value) ? value : undefined

/** What a search asks for, without what only the page shows: the number of rows, the columns and the open task. */
export function filtersOf({ limit: _, columns: __, open: ___, ...filters }: TaskSearch): TaskSearch {
  return filters
}

/** A path within a task that may be a column: `labels.customer`, `input.to`. */
export const COLUMN_PATH = /^(labels|input|output|progress)(\.[A-Za-z0-9_-]+)+$/

/** Addresses of an earlier version have the path of the text beside it: `q=mirror&in=labels.origin`. */
function wordsOf(raw: Record<string, unknown>): string | undefined {
  const [q, path] = [text(raw.q), text(raw.in)]
  return q === undefined || path === undefined || q.startsWith(`${path}:`) ? q : `${path}:"~${q}"`
}

function text(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  if (Array.isArray(value)) return text(value.join(','))
  return typeof value === 'string' && value !== '' ? value.slice(0, 200) : undefined
}

/** The parameters of an address as plain strings: `status=running,failed&name=download`. */
export function writeTaskSearch(search: TaskSearch): Record<string, string> {
  const { status = [], name, host, queue, q, deadline, sort, limit, columns, open } = search
  const written = {
    status: status.join(','),
    name,
    host,
    queue,
    q,
    deadline,
    sort,
    limit: limit?.toString(),
    columns,
    open,
  }
  return changedSearch<Record<string, string>>({}, written)
}

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
 * @param range only tasks that ended within it, or ran if a host is asked for; of those that have not ended, those that there were
 */
export function taskQuery(search: TaskSearch, now: number, range?: Range): TasksRequest {
  const filter: Record<string, unknown> = {}
  const { statuses, sort } = SORTS[sortOf(search, range)]
  const shown = search.status ?? statuses
  if (shown !== undefined) filter.status = shown.length === 1 ? shown[0] : { $in: [...shown] }
  if (search.name !== undefined) filter.name = search.name
  if (search.queue !== undefined) filter.queue = search.queue
  if (search.host !== undefined) filter.host = search.host
  if (search.q !== undefined) Object.assign(filter, tokenFilter(search.q, now))
  const further = [
    ...(search.deadline === undefined ? [] : [atRisk(now)]),
    ...(range === undefined ? [] : [within(range, shown ?? ENDED, search.host !== undefined)]),
  ]
  return {
    filter: further.length > 1 ? { ...filter, $and: further } : Object.assign(filter, ...further),
    sort: { ...sort },
    limit: search.limit ?? FIRST_LIMIT,
    fields: [...LIST_FIELDS, ...pathsOf(search.columns)],
  }
}

/** The paths among the columns, which a row must have. */
function pathsOf(columns = ''): string[] {
  return columns.split(',').flatMap((column) => {
    const [name = ''] = column.split(':')
    return COLUMN_PATH.test(name) ? name : []
  })
}

export const sortOf = (search: TaskSearch, range: Range | undefined): SortName =>
  search.sort ?? usualSort(search, range)

/** The order while none is chosen: a time range is a question about what has ended. */
export function usualSort({ status }: TaskSearch, range: Range | undefined): SortName {
  const isOpen = status?.some((one) => !hasEnded(one)) ?? false
  return range === undefined || isOpen ? DEFAULT_SORT : '-finishedAt'
}

/** @param byHost what ran within the range, and not only what ended there */
function within({ from, to, name }: Range, statuses: readonly TaskStatus[], byHost: boolean): Record<string, unknown> {
  const since = { $gte: new Date(from).toISOString() }
  const until = name === undefined ? { $lt: new Date(to).toISOString() } : undefined
  const isEnded = byHost
    ? { finishedAt: since, ...(until && { startedAt: until }) }
    : { finishedAt: { ...since, ...until } }
  const parts = [
    { status: statuses.filter(hasEnded), ...isEnded },
    { status: statuses.filter((one) => !hasEnded(one)), ...(until && { createdAt: until }) },
  ].filter(({ status }) => status.length > 0)
  const filters = parts.map(({ status, ...rest }) => ({
    status: status.length === 1 ? status[0] : { $in: status },
    ...rest,
  }))
  return filters.length === 1 ? filters[0]! : { $or: filters }
}

/** Turns a status on or off. */
export function toggleStatus(search: TaskSearch, status: TaskStatus): TaskSearch {
  const { status: before = [], ...rest } = search
  const after = before.includes(status) ? before.filter((other) => other !== status) : [...before, status]
  return after.length === 0 ? rest : { ...rest, status: STATUSES.filter((known) => after.includes(known)) }
}
