import { z } from 'zod'
import type { SetAsideRow } from '../protocol.ts'
import { date } from './values.ts'

export const setAsideDocument = z
  .object({
    collection: z.string().meta({ examples: ['queues'] }),
    id: z.string().describe('As text'),
    how: z.enum(['failed', 'skipped']).describe('`failed`: a task that has ended with `CORRUPT`'),
    problem: z
      .string()
      .meta({ examples: ["'concurrency' is the text 'x', not a whole number from 1 to 4503599627370496"] }),
    at: date.describe('When it was first seen'),
  } satisfies Record<keyof SetAsideRow, z.ZodType>)
  .meta({ id: 'SetAsideDocument', title: 'A document that does not fit' })
