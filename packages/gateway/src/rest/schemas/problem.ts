import { z } from 'zod'

const entryProblem = z.object({
  index: z.int().min(0),
  code: z.string(),
  title: z.string(),
  field: z.string().optional(),
})

/** As `Problem` of `problem.ts`. */
export const problem = z
  .object({
    type: z.literal('about:blank'),
    status: z.int(),
    title: z.string().describe('For people'),
    code: z.string().describe('For programs; stable'),
    field: z.string().optional().describe('The path of the invalid field'),
    errors: z.array(entryProblem).optional().describe('For a batch: the problem of each invalid entry'),
    rev: z.int().optional().describe('With REV_CONFLICT: the current revision of the task'),
    ids: z.array(z.string()).optional().describe('With UNKNOWN_OUTCOME: repeat the request with these ids'),
  })
  .meta({
    id: 'Problem',
    title: 'Problem',
    description: 'An error, as in RFC 9457',
    examples: [
      { type: 'about:blank', status: 404, title: 'There is no such task', code: 'NOT_FOUND', field: 'id' },
      {
        type: 'about:blank',
        status: 400,
        title: "'priority' must be a whole number from 1 to 10",
        code: 'OUT_OF_RANGE',
        field: 'priority',
      },
    ],
  })
