import type { Principal } from '@taskfleet/core'
import { FleetError } from '@taskfleet/protocol'
import { shapes } from '@taskfleet/protocol/internal'
import { z } from 'zod'
import type { Sessions } from '../../sessions.ts'
import { type RestRoute, route } from '../route.ts'

export function sessionRoutes({ sessions }: { sessions: Sessions }): RestRoute[] {
  return [
    route({
      method: 'POST',
      url: '/sessions',
      scope: 'read',
      tag: 'keys',
      summary: 'A token for a browser with the permissions of your key, valid for ten minutes at any gateway',
      answers: {
        201: z
          .object({ token: z.string(), expiresAt: shapes.date })
          .meta({ id: 'Session', title: 'A short-lived token' }),
      },
      description: 'Only a key can create a session, so a stolen session is valid for ten minutes at most.',
      handle: async ({ principal }) => {
        requireKey(principal)
        const { token, expiresAt } = await sessions.issue(principal)
        return { token, expiresAt: expiresAt.toISOString() }
      },
    }),
  ]
}

/** @throws {FleetError} `FORBIDDEN` */
function requireKey(principal: Principal & { expiresAt?: Date }): void {
  if (principal.expiresAt === undefined) return
  throw new FleetError('FORBIDDEN', 'Only a key can create a session, not another session')
}
