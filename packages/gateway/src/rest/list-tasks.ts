import { Readable } from 'node:stream'
import type { Fleet, Principal, TaskDocument } from '@taskfleet/core'
import { type CompiledQuery, compileQuery, toRow, visibleTo } from '@taskfleet/core/internal'
import { FleetError, parseJson, type TaskRow } from '@taskfleet/protocol'
import type { Filter, FindCursor, FindOptions } from 'mongodb'
import { z } from 'zod'
import { queryDigest, readCursor, writeCursor } from './cursor.ts'
import { hexId } from './schemas/values.ts'

const MAX_QUERY_MS = 2_000
const MAX_STREAM_MS = 60_000

export const listQuery = z.strictObject({
  filter: z
    .string()
    .max(8_192)
    .optional()
    .meta({ description: 'JSON, as live queries take it', examples: ['{"input.file":{"$prefix":"large"}}'] }),
  status: z
    .string()
    .optional()
    .meta({ description: 'One status, or several with commas', examples: ['failed,cancelled'] }),
  name: z.string().optional(),
  queue: z.string().optional(),
  id: hexId.optional(),
  sort: z
    .string()
    .max(1_024)
    .optional()
    .meta({
      description: 'Fields with commas, `-` for downwards, or JSON; `-_id` by default',
      examples: ['-priority,createdAt'],
    }),
  limit: z.string().optional().meta({ description: '1 to 1,000; 100 by default' }),
  fields: z
    .string()
    .max(1_024)
    .optional()
    .meta({ description: 'With commas: what the rows hold', examples: ['name,status,input.file'] }),
  cursor: z.string().max(4_096).optional().meta({ description: "The last answer's, for what follows" }),
})
export type ListQuery = z.infer<typeof listQuery>

interface Page {
  tasks: TaskRow[]
  /** For what follows; absent at the end. */
  cursor?: string
}

/** @throws {FleetError} `BAD_CURSOR`, and what `compileQuery` throws */
export async function listTasks(fleet: Fleet, principal: Principal, asked: ListQuery): Promise<Page> {
  const { query, digest, filter } = compiled(principal, asked)
  const found = await find(fleet, query, filter, { maxTimeMS: MAX_QUERY_MS })
    .limit(query.limit + 1)
    .toArray()
  const page = found.slice(0, query.limit)
  const last = page.at(-1)
  return {
    tasks: page.map((task) => toRow<TaskRow>('tasks', task as never, query.fields)),
    ...(found.length > page.length && last !== undefined
      ? { cursor: writeCursor(digest, query.sort, last as never) }
      : {}),
  }
}

/** All that match, one line of JSON each; no more than a batch is held at a time. */
export function streamTasks(fleet: Fleet, principal: Principal, asked: ListQuery): Readable {
  const { query, filter } = compiled(principal, asked)
  const found = find(fleet, query, filter, { maxTimeMS: MAX_STREAM_MS, batchSize: 500 })
  if (asked.limit !== undefined) found.limit(query.limit)
  const lines = async function* (): AsyncGenerator<string> {
    try {
      for await (const task of found) yield `${JSON.stringify(toRow('tasks', task as never, query.fields))}\n`
    } finally {
      await found.close()
    }
  }
  return Readable.from(lines())
}

function find(
  { tasks }: Fleet,
  { sort, projection }: CompiledQuery,
  filter: object,
  options: FindOptions,
): FindCursor<TaskDocument> {
  return tasks.find(filter as Filter<TaskDocument>, { ...options, projection }).sort(sort)
}

function compiled(principal: Principal, asked: ListQuery): { query: CompiledQuery; digest: string; filter: object } {
  const filter = askedFilter(asked)
  const sort = asked.sort === undefined ? undefined : askedSort(asked.sort)
  const query = compileQuery(
    {
      filter,
      ...(sort === undefined ? {} : { sort }),
      ...(asked.limit === undefined ? {} : { limit: /^\d{1,9}$/.test(asked.limit) ? Number(asked.limit) : Number.NaN }),
      ...(asked.fields === undefined ? {} : { fields: split(asked.fields) }),
    },
    visibleTo(principal),
  )
  const digest = queryDigest(filter, sort)
  if (asked.cursor === undefined) return { query, digest, filter: query.filter }
  return { query, digest, filter: { $and: [query.filter, readCursor(digest, query.sort, asked.cursor)] } }
}

/** What the parameters say together. */
function askedFilter({ filter, status, name, queue, id }: ListQuery): Record<string, unknown> {
  const simple = {
    ...(status === undefined ? {} : { status: { $in: split(status) } }),
    ...(name === undefined ? {} : { name }),
    ...(queue === undefined ? {} : { queue }),
    ...(id === undefined ? {} : { _id: id }),
  }
  if (filter === undefined) return simple
  const own = parsed(filter, 'filter', 'BAD_FILTER')
  return Object.keys(simple).length === 0 ? (own as Record<string, unknown>) : { $and: [own, simple] }
}

function askedSort(text: string): unknown {
  if (text.trimStart().startsWith('{')) return parsed(text, 'sort', 'BAD_SORT')
  return Object.fromEntries(split(text).map((part) => (part.startsWith('-') ? [part.slice(1), -1] : [part, 1])))
}

const split = (text: string): string[] => text.split(',').map((part) => part.trim())

/** The JSON of a parameter, for stats as well. @throws {FleetError} `code` */
export function parsed(text: string, field: string, code: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof FleetError && error.field !== undefined) {
      throw new FleetError(error.code, error.message, { field: `${field}.${error.field}` })
    }
    throw new FleetError(code, `'${field}' is JSON, such as {"status":"failed"}`, { field, cause: error })
  }
}
