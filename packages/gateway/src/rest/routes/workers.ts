import { z } from 'zod'
import { type RestRoute, route } from '../route.ts'
import { worker } from '../schemas/fleet.ts'

export function workerRoutes(): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/workers',
      scope: 'read',
      tag: 'workers',
      summary: 'Workers and gateways, those that stopped within a day included',
      answers: { 200: z.object({ workers: z.array(worker) }) },
      handle: async ({ fleet }) => ({ workers: await fleet.workers.list() }),
    }),
    ...(['drain', 'resume'] as const).map((action) =>
      route({
        method: 'POST',
        url: `/workers/:id/${action}`,
        scope: 'control',
        tag: 'workers',
        summary: action === 'drain' ? 'Take nothing new, go on with what runs' : 'Take tasks again',
        params: z.object({ id: z.string() }),
        body: z.strictObject({}).optional(),
        answers: { 200: worker },
        codes: ['NOT_FOUND'],
        handle: async ({ fleet, params }) => fleet.workers[action](params.id!),
      }),
    ),
  ]
}
