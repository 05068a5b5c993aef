import type { Fleet } from '@taskfleet/core'
import { requireUnlimited } from '@taskfleet/core/internal'
import { z } from 'zod'
import { type RestRoute, route } from '../route.ts'
import { setAsideDocument } from '../schemas/documents.ts'

/** Documents that don't fit: somebody has changed them by hand. */
export function documentRoutes({ fleet }: { fleet: Fleet }): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/set-aside',
      scope: 'read',
      tag: 'upkeep',
      summary: 'Documents that do not fit and are set aside, the oldest first; at most 1,000',
      answers: { 200: z.object({ documents: z.array(setAsideDocument) }) },
      handle: async ({ principal }) => {
        requireUnlimited(principal, 'read what is set aside')
        const documents = await fleet.gate.setAside.list()
        return { documents: documents.map(({ at, ...rest }) => ({ ...rest, at: at.toISOString() })) }
      },
    }),
  ]
}
