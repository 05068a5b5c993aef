import { compileFilter, type LiveQueries, visibleTo } from '@taskfleet/core/internal'
import { z } from 'zod'
import { given } from '../given.ts'
import { parsed } from '../list-tasks.ts'
import { type RestRoute, route } from '../route.ts'
import { coverageRow, errorGroup, stats } from '../schemas/fleet.ts'
import { date } from '../schemas/values.ts'

const state = z.enum(['open', 'resolved', 'ignored'])

/** What is going on, and what keeps going wrong. */
export function reportRoutes({ queries }: { queries: LiveQueries }): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/errors',
      scope: 'read',
      tag: 'reports',
      summary: 'What keeps going wrong, by fingerprint, the latest first',
      query: z.strictObject({
        state: state.optional(),
        limit: z
          .string()
          .regex(/^([1-9]\d{0,2}|1000)$/, '1 to 1,000')
          .optional(),
      }),
      answers: { 200: z.object({ errors: z.array(errorGroup) }) },
      codes: ['BAD_VALUE', 'BAD_SORT', 'UNKNOWN_FIELD'],
      handle: async ({ fleet, query: { state, limit } }) => ({
        errors: await fleet.errors.list(given({ state, limit: limit === undefined ? undefined : Number(limit) })),
      }),
    }),
    route({
      method: 'PATCH',
      url: '/errors/:fingerprint',
      scope: 'control',
      tag: 'reports',
      summary: 'Resolve, ignore or reopen it',
      params: z.object({ fingerprint: z.string() }),
      body: z.strictObject({ state, until: date.max(40).optional().describe('For `ignored`') }),
      answers: { 200: errorGroup },
      codes: ['NOT_FOUND', 'BAD_DATE', 'BAD_VALUE', 'UNKNOWN_FIELD', 'BAD_JSON', 'BAD_STRING'],
      handle: async ({ control, params, body: { state, until } }) =>
        control.markError({ fingerprint: params.fingerprint!, state, ...(until === undefined ? {} : { until }) }),
    }),
    route({
      method: 'GET',
      url: '/coverage',
      scope: 'read',
      tag: 'reports',
      summary: 'Which names and versions wait, and who serves them',
      answers: { 200: z.object({ coverage: z.array(coverageRow) }) },
      handle: async ({ control }) => ({ coverage: await control.coverage() }),
    }),
    route({
      method: 'GET',
      url: '/stats',
      scope: 'read',
      tag: 'reports',
      summary: 'Counts, rates and latencies',
      query: z.strictObject({ filter: z.string().max(8_192).optional().describe('JSON, as for tasks') }),
      answers: { 200: stats },
      codes: ['BAD_FILTER', 'FILTER_TOO_BIG', 'BAD_VALUE', 'UNKNOWN_FIELD'],
      handle: async ({ principal, query }) => {
        const own = compileFilter(query.filter === undefined ? {} : parsed(query.filter, 'filter', 'BAD_FILTER'))
        const bounds = visibleTo(principal)
        // Kept for a while, so that those who ask again and again read no tasks.
        const watch = await queries.watchStats(bounds === undefined ? own : { $and: [bounds, own] }, () => undefined)
        try {
          return watch.live.stats
        } finally {
          watch.close()
        }
      },
    }),
  ]
}
