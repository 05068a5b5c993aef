import type { QuerySort, TaskRow } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Principal } from '../auth/key-store.ts'
import { boundsOf } from '../auth/reach.ts'
import { batchFor, readPage } from '../live/bounded-read.ts'
import { byPhase } from '../live/by-phase.ts'
import { requireIndexed } from '../live/indexed.ts'
import { type CompiledQuery, compileQuery } from '../live/query.ts'
import { toRow } from '../live/wire.ts'
import type { TaskDocument } from '../task/task-document.ts'
import { queryDigest, readCursor, writeCursor } from './cursor.ts'

const MAX_QUERY_MS = 2_000
const MAX_STREAM_MS = 60_000

/** A filter, sort and fields as live queries take them. */
export interface ListRequest {
  filter?: Record<string, unknown>
  sort?: QuerySort
  /** 100 by default. */
  limit?: number
  fields?: readonly string[]
  /** The cursor of the previous page. */
  cursor?: string
}

export interface TaskPage {
  tasks: TaskRow[]
  /** For the next page; absent at the end. */
  cursor?: string
}

type Tasks = mongo.Collection<TaskDocument>

/**
 * A page ends before its limit where its rows are large.
 * @throws {FleetError} `BAD_CURSOR`, `QUERY_NOT_INDEXED`, and what `compileQuery` throws
 */
export async function listTasks(tasks: Tasks, principal: Principal, request: ListRequest): Promise<TaskPage> {
  const { query, digest, filter } = compiled(principal, request)
  await requireIndexed(tasks, query)
  const { docs: found, cut } = await readPage(
    find(tasks, query, filter, { maxTimeMS: MAX_QUERY_MS }).limit(query.limit + 1),
  )
  const page = found.slice(0, query.limit)
  const last = page.at(-1)
  return {
    tasks: page.map((task) => toRow<TaskRow>('tasks', task as never, query.fields)),
    ...((cut || found.length > page.length) && last !== undefined
      ? { cursor: writeCursor(digest, query.sort, last as never) }
      : {}),
  }
}

/** All tasks that match, with one batch at a time in memory. @throws {FleetError} as `listTasks`, before the first row */
export function readTasks(tasks: Tasks, principal: Principal, request: ListRequest): AsyncIterable<TaskRow> {
  const { query, filter } = compiled(principal, request)
  const found = find(tasks, query, filter, { maxTimeMS: MAX_STREAM_MS })
  if (request.limit !== undefined) found.limit(query.limit)
  return (async function* () {
    await requireIndexed(tasks, query)
    try {
      for await (const task of found) yield toRow<TaskRow>('tasks', task as never, query.fields)
    } finally {
      await found.close()
    }
  })()
}

function find(
  tasks: Tasks,
  { collection, fields, sort, projection }: CompiledQuery,
  filter: object,
  options: mongo.FindOptions,
): mongo.FindCursor<TaskDocument> {
  return tasks
    .find(filter as mongo.Filter<TaskDocument>, { ...options, projection, batchSize: batchFor(collection, fields) })
    .sort(sort)
}

function compiled(
  principal: Principal,
  { cursor, filter = {}, ...asked }: ListRequest,
): { query: CompiledQuery; digest: string; filter: object } {
  const query = compileQuery({ filter, ...asked }, boundsOf(principal, 'tasks'))
  const digest = queryDigest(filter, asked.sort)
  if (cursor === undefined) return { query, digest, filter: query.dbFilter }
  return { query, digest, filter: byPhase({ $and: [query.filter, readCursor(digest, query.sort, cursor)] }) }
}
