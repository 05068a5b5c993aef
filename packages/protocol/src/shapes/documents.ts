import { z } from 'zod'
import { date, object } from './values.ts'

export const setAsideDocument = object({
  /** The collection that it is stored in. */
  collection: z.string().meta({ examples: ['queues'] }),
  id: z.string().describe('As text'),
  /** `failed`: a task that has ended with `CORRUPT`. `skipped`: any other document. */
  how: z.enum(['failed', 'skipped']).describe('`failed`: a task that has ended with `CORRUPT`'),
  /** What is wrong with it, in words. */
  problem: z
    .string()
    .meta({ examples: ["'concurrency' is the text 'x', not a whole number from 1 to 4503599627370496"] }),
  at: date.describe('When it was first seen'),
}).meta({ id: 'SetAsideDocument', title: 'A malformed document that was set aside' })
