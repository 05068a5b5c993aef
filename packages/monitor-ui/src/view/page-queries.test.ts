import { compileFilter, compileQuery, requireCountable, requireIndexed } from '@taskfleet/core/internal'
import { type QueryRequest, STATUSES } from '@taskfleet/protocol'
import { expect, it } from 'vitest'
import * as downloads from '../live/download-queries.ts'
import * as queries from '../live/queries.ts'
import { EVENT_STATUSES } from './event-status.ts'
import { rangeOf } from './range.ts'
import { eventsQuery } from './search.ts'
import { countsPlan } from './status-counts.ts'
import { SORTS, type SortName, type TaskSearch, taskQuery } from './task-search.ts'

/** A fleet with millions of tasks and events. */
const LARGE = { estimatedDocumentCount: async () => 5_000_000 }
const ID = 'f'.repeat(24)

const codeOf = (asked: Promise<void>): Promise<string | undefined> =>
  asked.then(
    () => undefined,
    ({ code }: { code: string }) => code,
  )
const ofQuery = (request: QueryRequest) => codeOf(requireIndexed(LARGE, compileQuery(request)))

const isQuery = (value: unknown): value is QueryRequest => typeof value === 'object' && !Array.isArray(value)
const PAGES: Record<string, QueryRequest> = {
  ...Object.fromEntries(Object.entries({ ...queries, ...downloads }).filter(([, value]) => isQuery(value))),
  errors: queries.errorsOf('open'),
  'one error': queries.oneError('c0ffee'),
  'the tasks of an error': queries.endedTasks(queries.failedWith('c0ffee', '2027-03-01T02:00:00.000Z', undefined)),
  'the tasks of an error in a time': queries.endedTasks(
    queries.failedWith('c0ffee', '2027-03-01T02:00:00.000Z', '2027-03-01T04:00:00.000Z'),
  ),
  dependants: queries.dependantsOf(ID),
  'the last runs of a schedule': queries.runsOf('nightly'),
  statuses: queries.statusesOf([ID]),
  'watched tasks': queries.watchedTasks([ID]),
  'one task': queries.oneTask(ID),
  'ended on a host': queries.endedOn('fra-1', 0, 3_600_000),
  'running in a queue': queries.runningIn('bulk'),
  'next in a queue': queries.nextIn('bulk'),
  'running on a host': queries.runningOn([ID]),
  'running on a host without workers': queries.runningOn([]),
  'failed downloads': downloads.failedDownloads(rangeOf('1h', Date.now())),
  'downloads that failed in a time': downloads.failedDownloads(
    rangeOf('2027-03-01T02:00Z/2027-03-01T04:00Z', Date.now()),
  ),
  'the segments of a download': { filter: { _id: ID }, limit: 1, fields: [...downloads.SEGMENT_FIELDS] },
  events: eventsQuery({}, 100),
  'events by name': eventsQuery({ name: 'a' }, 100),
  ...Object.fromEntries(EVENT_STATUSES.map((status) => [`${status} events`, eventsQuery({ status }, 100)])),
}

it.each(Object.entries(PAGES))('%s walks an index in a large fleet', async (_, request) => {
  expect(await ofQuery(request)).toBeUndefined()
})

it('counts the tasks of an error by an index', async () => {
  const filter = queries.failedWith('c0ffee', '2027-03-01T02:00:00.000Z', undefined)
  expect(await codeOf(requireCountable(LARGE, compileFilter(filter)))).toBeUndefined()
})

const SEARCHES: TaskSearch[] = [
  {},
  { q: 'iso' },
  { q: 'input.url:~mirror' },
  { q: 'label.origin:mirror' },
  { q: 'ended:<1h error:ENOSPC' },
  { q: 'created:>2d' },
  { q: ID },
  { name: 'download', queue: 'bulk' },
  { host: 'fra-1' },
  { deadline: 'risk' },
  { columns: 'title,input.to,labels.customer', open: ID },
]

it.each(Object.keys(SORTS) as SortName[])('searches in the order %s walk an index in a large fleet', async (sort) => {
  for (const search of SEARCHES) {
    const request = taskQuery({ ...search, sort }, Date.now())
    expect([search, await ofQuery(request)]).toEqual([search, undefined])
    const plan = countsPlan(search)
    const counts = plan && codeOf(requireCountable(LARGE, compileFilter(plan.filter)))
    expect([search, await counts]).toEqual([search, undefined])
  }
})

const RANGES = { 'an hour': '1h', 'two dates': '2027-03-01T02:00Z/2027-03-01T04:00Z' }

it.each(Object.entries(RANGES))('searches within %s walk an index in a large fleet', async (_, range) => {
  const now = Date.parse('2027-03-02T00:00:00Z')
  const searches: TaskSearch[] = [
    ...SEARCHES,
    { status: ['failed'] },
    { status: ['running', 'failed'] },
    { status: [...STATUSES] },
    { status: ['pending'], queue: 'bulk' },
  ]
  for (const search of searches) {
    const request = taskQuery(search, now, rangeOf(range, now))
    expect([search, await ofQuery(request)]).toEqual([search, undefined])
  }
})

it.each(STATUSES)('searches of the status %s walk an index, or are refused with the reason', async (status) => {
  const refused: SortName[] = []
  for (const sort of Object.keys(SORTS) as SortName[]) {
    const code = await ofQuery(taskQuery({ status: [status], sort }, Date.now()))
    if (code !== undefined) refused.push(sort)
    expect(code ?? 'QUERY_NOT_INDEXED').toBe('QUERY_NOT_INDEXED')
  }
  const hasEnded = SORTS['-finishedAt'].statuses?.includes(status)
  expect(refused).toEqual(hasEnded ? ['-priority', '-startedAt', 'startedAt'] : [])
})
