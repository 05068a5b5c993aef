import { z } from 'zod'
import type { Sessions } from '../../sessions.ts'
import { type RestRoute, route } from '../route.ts'
import { date } from '../schemas/values.ts'

export function sessionRoutes({ sessions }: { sessions: Sessions }): RestRoute[] {
  return [
    route({
      method: 'POST',
      url: '/sessions',
      scope: 'read',
      tag: 'keys',
      summary: 'A token for a browser, good for ten minutes at any gateway, that may what your key may',
      answers: {
        201: z.object({ token: z.string(), expiresAt: date }).meta({ id: 'Session', title: 'A short-lived token' }),
      },
      handle: async ({ principal }) => {
        const { token, expiresAt } = await sessions.issue(principal)
        return { token, expiresAt: expiresAt.toISOString() }
      },
    }),
  ]
}
