import type { Fleet, Principal } from '@taskfleet/core'
import { FleetCommands, toRow, visibleTo } from '@taskfleet/core/internal'
import type { QueueLimits, QueueRow, TaskStatus } from '@taskfleet/protocol'
import { z } from 'zod'
import { type RestRoute, route } from '../route.ts'
import { newRate, queue } from '../schemas/fleet.ts'
import { queueName, reason } from '../schemas/values.ts'

const MAX_QUERY_MS = 2_000

type Counts = Partial<Record<TaskStatus, number>>

export function queueRoutes({ fleet }: { fleet: Fleet }): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/queues',
      scope: 'read',
      tag: 'queues',
      summary: 'Queues that hold tasks or of which something was said, with counts',
      answers: { 200: z.object({ queues: z.array(queue) }) },
      codes: ['QUERY_TOO_SLOW'],
      handle: async ({ principal }) => ({ queues: await listQueues(fleet, principal) }),
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
      handle: async ({ control, principal, params, body: { paused, reason, ...limits } }) => {
        const queue = params.name!
        if (Object.values(limits).some((limit) => limit !== undefined)) {
          const limited = await new FleetCommands(fleet, principal).limitQueue(queue, limits as QueueLimits)
          if (paused === undefined) return limited
        }
        return control.controlQueue({
          queue,
          action: paused === true ? 'pause' : 'resume',
          ...(reason === undefined ? {} : { reason }),
        })
      },
    }),
  ]
}

async function listQueues(
  fleet: Fleet,
  principal: Principal,
): Promise<(Pick<QueueRow, '_id' | 'paused'> & { counts: Counts })[]> {
  const visible = (name: string): boolean => principal.queues?.includes(name) ?? true
  const [said, groups] = await Promise.all([
    fleet.queues.list(),
    fleet.tasks
      .aggregate<{ _id: { queue: string; status: TaskStatus }; count: number }>(
        [
          { $match: visibleTo(principal) ?? {} },
          { $group: { _id: { queue: '$queue', status: '$status' }, count: { $sum: 1 } } },
        ],
        { maxTimeMS: MAX_QUERY_MS },
      )
      .toArray(),
  ])
  const counts = new Map<string, Counts>()
  for (const { _id, count } of groups) counts.set(_id.queue, { ...counts.get(_id.queue), [_id.status]: count })
  const rows = new Map(said.map((one) => [one._id, toRow<QueueRow>('queues', one as never)]))
  const names = [...new Set([...counts.keys(), ...rows.keys()])].filter(visible).sort()
  return names.map((_id) => ({ paused: false, ...rows.get(_id), _id, counts: counts.get(_id) ?? {} }))
}
