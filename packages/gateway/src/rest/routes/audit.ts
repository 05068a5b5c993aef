import type { Fleet } from '@taskfleet/core'
import { type AuditPlace, cursorValues, parseId, requireUnlimited, writeCursor } from '@taskfleet/core/internal'
import { FleetError, OPERATIONS } from '@taskfleet/protocol'
import { shapes } from '@taskfleet/protocol/internal'
import { z } from 'zod'
import { type RestRoute, route } from '../route.ts'

const SORT = { at: -1, _id: -1 } as const
const QUERY = 'audit'

/** The audit log of the whole fleet; that of one task is at `/tasks/:id/audit`. */
export function auditRoutes({ fleet }: { fleet: Fleet }): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/audit',
      scope: 'read',
      tag: 'audit',
      summary: OPERATIONS.audit.list.summary,
      query: z.strictObject({
        limit: z
          .string()
          .regex(/^([1-9]\d{0,2}|1000)$/, '1 to 1,000')
          .optional()
          .meta({ description: '1 to 1,000; 100 by default' }),
        cursor: z
          .string()
          .max(4_096)
          .optional()
          .meta({ description: 'The `cursor` of the last answer, for the next page' }),
      }),
      answers: {
        200: z.object({
          entries: z.array(shapes.auditEntry),
          cursor: z.string().optional().describe('For the next page; absent at the end'),
        }),
      },
      codes: ['BAD_SORT', 'BAD_CURSOR', 'UNKNOWN_FIELD'],
      handle: async ({ principal, query: { limit = '100', cursor } }) => {
        requireUnlimited(principal, 'touch the whole audit log')
        const most = Number(limit)
        const after = cursor === undefined ? {} : { after: placeOf(cursor) }
        // One more entry than requested shows whether there is a next page.
        const found = await fleet.audit.list({ ...after, limit: most + 1 })
        const entries = found.slice(0, most)
        const last = entries.at(-1)
        if (found.length === entries.length || last === undefined) return { entries }
        const place = { at: new Date(last.at), _id: parseId(last._id) }
        return { entries, cursor: writeCursor(QUERY, SORT, place) }
      },
    }),
  ]
}

/** @throws {FleetError} `BAD_CURSOR` */
function placeOf(cursor: string): AuditPlace {
  const [at, id] = cursorValues(QUERY, SORT, cursor)
  // The client may have changed it.
  if (at instanceof Date && id !== null && typeof id === 'object' && !(id instanceof Date)) return { at, _id: id }
  throw new FleetError('BAD_CURSOR', "This is not a cursor. Use the 'cursor' of the previous page unchanged", {
    field: 'cursor',
  })
}
