import type { Fleet } from '@taskfleet/core'
import { toRow } from '@taskfleet/core/internal'
import { FleetError, type WorkerRow } from '@taskfleet/protocol'
import { z } from 'zod'
import { type RestRoute, route } from '../route.ts'
import { worker } from '../schemas/fleet.ts'

const shown = (found: object): WorkerRow => toRow<WorkerRow>('workers', found as never)

export function workerRoutes({ fleet }: { fleet: Fleet }): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/workers',
      scope: 'read',
      tag: 'workers',
      summary: 'Workers and gateways, those that stopped within a day included',
      answers: { 200: z.object({ workers: z.array(worker) }) },
      handle: async () => ({ workers: (await fleet.workers.list()).map(shown) }),
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
        handle: async ({ control, params }) => {
          await control.controlWorker({ worker: params.id!, action })
          const found = await fleet.workers.find(params.id!)
          if (found === null)
            throw new FleetError('NOT_FOUND', 'There is no such worker, or it has stopped', { field: 'id' })
          return shown(found)
        },
      }),
    ),
  ]
}
