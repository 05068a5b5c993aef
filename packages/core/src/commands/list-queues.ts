import type { QueueListRow, QueueRow, TaskStatus } from '@taskfleet/protocol'
import { type Principal, visibleTo } from '../auth/key-store.ts'
import type { Fleet } from '../fleet.ts'
import { toRow } from '../live/wire.ts'

const MAX_QUERY_MS = 2_000

type Counts = Partial<Record<TaskStatus, number>>

/** Queues with tasks or settings, as far as somebody may see them. @throws {FleetError} `QUERY_TOO_SLOW` */
export async function listQueues(fleet: Fleet, principal: Principal): Promise<QueueListRow[]> {
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
