import { compileFilter, type LiveQueries, visibleTo } from '@taskfleet/core/internal'
import { shapes } from '@taskfleet/protocol/internal'
import { z } from 'zod'
import { parsedJson } from '../query-text.ts'
import { type RestRoute, route } from '../route.ts'

/** Over the socket, `subscribeStats` sends the same and keeps it current. */
export const statsRoute = ({ queries }: { queries: LiveQueries }): RestRoute =>
  route({
    method: 'GET',
    url: '/stats',
    scope: 'read',
    tag: 'tasks',
    summary: 'Counts, rates and latencies',
    query: z.strictObject({ filter: z.string().max(8_192).optional().describe('JSON, as for tasks') }),
    answers: { 200: shapes.stats },
    codes: ['BAD_FILTER', 'FILTER_TOO_BIG', 'BAD_VALUE', 'UNKNOWN_FIELD', 'QUERY_NOT_INDEXED'],
    handle: async ({ principal, query }) => {
      const own = compileFilter(query.filter === undefined ? {} : parsedJson(query.filter, 'filter', 'BAD_FILTER'))
      const bounds = visibleTo(principal)
      // Kept for a while, so that repeated requests read no tasks.
      const watch = await queries.watchStats(bounds === undefined ? own : { $and: [bounds, own] }, () => undefined)
      try {
        return watch.live.stats
      } finally {
        watch.close()
      }
    },
  })
