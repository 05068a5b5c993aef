import type { ListRequest } from '@taskfleet/core/internal'
import { FleetError, parseJson, type QuerySort } from '@taskfleet/protocol'
import { given, shapes } from '@taskfleet/protocol/internal'
import { z } from 'zod'

/** The parameters of `GET /tasks`, as texts of an address. */
export const listQuery = z.strictObject({
  filter: z
    .string()
    .max(8_192)
    .optional()
    .meta({ description: 'JSON, as in live queries', examples: ['{"input.file":{"$prefix":"large"}}'] }),
  status: z
    .string()
    .optional()
    .meta({ description: 'One status, or several separated by commas', examples: ['failed,cancelled'] }),
  name: z.string().optional(),
  queue: z.string().optional(),
  id: shapes.hexId.optional(),
  sort: z
    .string()
    .max(1_024)
    .optional()
    .meta({
      description: 'Fields separated by commas, `-` for descending, or JSON; `-_id` by default',
      examples: ['-priority,createdAt'],
    }),
  limit: z.string().optional().meta({ description: '1 to 1,000; 100 by default' }),
  fields: z
    .string()
    .max(1_024)
    .optional()
    .meta({ description: 'The fields of the rows, separated by commas', examples: ['name,status,input.file'] }),
  cursor: z.string().max(4_096).optional().meta({ description: 'The `cursor` of the last answer, for the next page' }),
})
type ListQuery = z.infer<typeof listQuery>

/** The query of all parameters. @throws {FleetError} `BAD_FILTER`, `BAD_SORT` */
export function listRequest({ sort, limit, fields, cursor, ...filter }: ListQuery): ListRequest {
  return {
    filter: askedFilter(filter),
    ...(sort === undefined ? {} : { sort: askedSort(sort) as QuerySort }),
    ...(limit === undefined ? {} : { limit: /^\d{1,9}$/.test(limit) ? Number(limit) : Number.NaN }),
    ...(fields === undefined ? {} : { fields: split(fields) }),
    ...given({ cursor }),
  }
}

function askedFilter({ filter, status, name, queue, id }: ListQuery): Record<string, unknown> {
  const simple = {
    ...(status === undefined ? {} : { status: { $in: split(status) } }),
    ...given({ name, queue, _id: id }),
  }
  if (filter === undefined) return simple
  const own = parsedJson(filter, 'filter', 'BAD_FILTER')
  return Object.keys(simple).length === 0 ? (own as Record<string, unknown>) : { $and: [own, simple] }
}

function askedSort(text: string): unknown {
  if (text.trimStart().startsWith('{')) return parsedJson(text, 'sort', 'BAD_SORT')
  return Object.fromEntries(split(text).map((part) => (part.startsWith('-') ? [part.slice(1), -1] : [part, 1])))
}

const split = (text: string): string[] => text.split(',').map((part) => part.trim())

/** The JSON of a parameter. @throws {FleetError} `code` */
export function parsedJson(text: string, field: string, code: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof FleetError && error.field !== undefined) {
      throw new FleetError(error.code, error.message, { field: `${field}.${error.field}` })
    }
    throw new FleetError(code, `'${field}' must be JSON, such as {"status":"failed"}`, { field, cause: error })
  }
}
