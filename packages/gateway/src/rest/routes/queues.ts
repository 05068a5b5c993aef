import type { QueueLimits } from '@taskfleet/protocol'
import { z } from 'zod'
import { given } from '../given.ts'
import { type RestRoute, route } from '../route.ts'
import { newRate, queue } from '../schemas/fleet.ts'
import { queueName, reason } from '../schemas/values.ts'

export function queueRoutes(): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/queues',
      scope: 'read',
      tag: 'queues',
      summary: 'Queues that hold tasks or of which something was said, with counts',
      answers: { 200: z.object({ queues: z.array(queue) }) },
      codes: ['QUERY_TOO_SLOW'],
      handle: async ({ fleet }) => ({ queues: await fleet.queues.list() }),
    }),
    route({
      method: 'PATCH',
      url: '/queues/:name',
      scope: 'control',
      tag: 'queues',
      summary: 'Pause or resume a queue, or limit how many of its tasks run at once or start within a time, or wait',
      params: z.object({ name: queueName }),
      body: z
        .strictObject({
          paused: z.boolean(),
          reason,
          concurrency: z.int().min(1).max(10_000).nullable(),
          rate: newRate.nullable(),
          maxWaiting: z.int().min(1).max(100_000_000).nullable(),
        })
        .partial()
        .refine((asked) => Object.entries(asked).some(([field, value]) => field !== 'reason' && value !== undefined), {
          message: "There is nothing to change: give 'paused', 'concurrency', 'rate' or 'maxWaiting'",
        }),
      answers: { 200: queue },
      codes: [
        'BAD_QUEUE',
        'QUEUE_NOT_ALLOWED',
        'BAD_VALUE',
        'BAD_DURATION',
        'OUT_OF_RANGE',
        'UNKNOWN_FIELD',
        'BAD_JSON',
        'BAD_STRING',
      ],
      handle: async ({ fleet, params, body: { paused, reason, ...limits } }) => {
        const name = params.name!
        if (Object.values(limits).some((limit) => limit !== undefined)) {
          const limited = await fleet.queues.limit({ name, limits: limits as QueueLimits })
          if (paused === undefined) return limited
        }
        return fleet.queues[paused === true ? 'pause' : 'resume']({ name, ...given({ reason }) })
      },
    }),
  ]
}
