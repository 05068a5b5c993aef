import { z } from 'zod'
import type { Duration } from '../protocol.ts'

/** As `z.object`, but the declarations that are built keep the comments on the fields. */
export const object = <Shape extends z.ZodRawShape>(fields: Shape): z.ZodObject<Shape> => z.object(fields)

export const hexId = z
  .string()
  .regex(/^[0-9a-f]{24}$/)
  .meta({ title: 'Id', examples: ['66f1c0ffee0123456789abcd'] })
/** ISO 8601, on the way out always in UTC. */
export const date = z.string().meta({ format: 'date-time', examples: ['2027-03-01T12:00:00.000Z'] })
/** A date in a request: callers in code may give a `Date`, which travels as its text. */
export const givenDate = date as z.ZodType<string | Date>
export const count = z.int().min(0)
export const name = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/)
  .meta({ examples: ['download'] })
export const queueName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/)
  .meta({ examples: ['default'] })
export const priority = z
  .union([z.int().min(1).max(10), z.enum(['low', 'medium', 'high'])])
  .meta({ description: '1 to 10, higher first, or a name for 2, 5 and 8', examples: ['high', 5] })
export const duration = z.union([z.number(), z.string()]).meta({
  description: 'Milliseconds, or a number with ms, s, m, h or d',
  examples: ['5s', 500],
}) as unknown as z.ZodType<Duration>
export const reason = z.string().max(500).describe('For the record')

/** A list that callers in code may not change, or may give as one that may not be changed. */
export const fixed = <Item>(list: z.ZodType<Item[]>): z.ZodType<readonly Item[]> => list

export const idParams = z.object({ id: hexId })
