import { z } from 'zod'
import type { Duration } from '../protocol.ts'

/** As `z.object`, but the built declarations keep the comments on the fields. */
export const object = <Shape extends z.ZodRawShape>(fields: Shape): z.ZodObject<Shape> => z.object(fields)
/** As `object`, for requests: unknown fields are rejected. */
export const strictObject = <Shape extends z.ZodRawShape>(fields: Shape): z.ZodObject<Shape, z.core.$strict> =>
  z.strictObject(fields)

export const hexId = z
  .string()
  .regex(/^[0-9a-f]{24}$/, 'An id has 24 hexadecimal digits')
  .meta({ title: 'Id', examples: ['66f1c0ffee0123456789abcd'] })
/** ISO 8601; in responses always in UTC. */
export const date = z.string().meta({ format: 'date-time', examples: ['2027-03-01T12:00:00.000Z'] })
/** A date in a request. Code may also pass a `Date`, which is sent as text. */
export const givenDate = date as z.ZodType<string | Date>
export const count = z.int().min(0)
const anyName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/, 'A letter, then letters, digits, _ . : or -, up to 128 characters')
export const name = anyName.meta({ examples: ['download'] })
export const queueName = anyName.meta({ examples: ['default'] })
export const priority = z
  .union([z.int().min(1).max(10), z.enum(['low', 'medium', 'high'])])
  .meta({ description: '1 to 10, higher first, or a name for 2, 5 and 8', examples: ['high', 5] })
export const duration = z
  .union([
    z.number().min(1).max(2_592_000_000),
    z.string().regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/, 'A number with ms, s, m, h or d, such as 15m'),
  ])
  .meta({
    description: 'Milliseconds, or a number with ms, s, m, h or d',
    examples: ['5s', 500],
  }) as unknown as z.ZodType<Duration>
/** The filter of a query. The core checks it. */
export const filter = z
  .looseObject({})
  .meta({ id: 'Filter', description: 'Conditions by field; the operators and limits are in docs/protocol.md' })
export const sort = z.record(z.string(), z.union([z.literal(1), z.literal(-1)])).meta({
  id: 'Sort',
  description: 'Up to four fields, the most important one first. `_id` breaks ties.',
  maxProperties: 4,
})
export const reason = z.string().max(500).describe('For the audit log')

/** A list as read-only, so that code may pass read-only lists. */
export const fixed = <Item>(list: z.ZodType<Item[]>): z.ZodType<readonly Item[]> => list

export const entryProblem = object({
  /** Its index in the list, from 0. */
  index: count,
  code: z.string(),
  title: z.string(),
  field: z.string().exactOptional(),
}).meta({ id: 'EntryProblem', title: 'A problem of one entry of a list' })

export const wireError = object({
  code: z.string(),
  message: z.string(),
  field: z.string().exactOptional(),
  ids: z
    .array(z.string())
    .exactOptional()
    .describe('With `UNKNOWN_OUTCOME`: the ids to use when the request is repeated'),
  errors: z.array(entryProblem).exactOptional().describe('For a list: the problem of each invalid entry'),
}).meta({ id: 'WireError', title: 'An error: `code` is stable and for programs, `message` is for people' })
