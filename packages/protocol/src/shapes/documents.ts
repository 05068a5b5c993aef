import { z } from 'zod'
import { date, object } from './values.ts'

export const setAsideDocument = object({
  /** Where it is stored. */
  collection: z.string().meta({ examples: ['queues'] }),
  id: z.string().describe('As text'),
  /** `failed`: a task that has ended with `CORRUPT`; anything else is passed over. */
  how: z.enum(['failed', 'skipped']).describe('`failed`: a task that has ended with `CORRUPT`'),
  /** What is wrong with it, in words. */
  problem: z
    .string()
    .meta({ examples: ["'concurrency' is the text 'x', not a whole number from 1 to 4503599627370496"] }),
  at: date.describe('When it was first seen'),
}).meta({ id: 'SetAsideDocument', title: 'A document that does not fit' })
