import { OPERATIONS, type QueueLimits } from '@taskfleet/protocol'
import { given, shapes } from '@taskfleet/protocol/internal'
import { z } from 'zod'
import { type RestRoute, route } from '../route.ts'

const settings = {
  paused: z.boolean(),
  concurrency: z.int().min(1).max(10_000).nullable(),
  rate: shapes.newRate.nullable(),
  maxWaiting: z.int().min(1).max(100_000_000).nullable(),
}
const changes = z
  .strictObject({ ...settings, reason: shapes.reason })
  .partial()
  .refine((asked) => Object.entries(asked).some(([field, value]) => field !== 'reason' && value !== undefined), {
    message: "There is nothing to change: set 'paused', 'concurrency', 'rate' or 'maxWaiting'",
  })
  .meta({
    id: 'QueueChanges',
    title: 'The changes of a queue',
    examples: [{ concurrency: 5 }, { paused: true }],
    anyOf: Object.keys(settings).map((field) => ({ required: [field] })),
  })

/** Three operations in one request. */
export const queueRoute: RestRoute = route({
  method: 'PATCH',
  url: '/queues/:name',
  scope: 'control',
  tag: 'queues',
  summary: 'Pause or resume a queue, or limit how many of its tasks run at once or start within a time, or wait',
  params: z.object({ name: shapes.queueName }),
  body: changes,
  answers: { 200: shapes.queueSettings },
  codes: OPERATIONS.queues.limit.codes,
  handle: async ({ fleet, params, body: { paused, reason, ...limits } }) => {
    const name = params.name!
    if (Object.values(limits).some((limit) => limit !== undefined)) {
      const limited = await fleet.queues.limit({ name, limits: limits as QueueLimits })
      if (paused === undefined) return limited
    }
    return fleet.queues[paused === true ? 'pause' : 'resume']({ name, ...given({ reason }) })
  },
})
