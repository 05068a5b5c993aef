import type { TaskStatus } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { OPEN_STATUSES } from './lifecycle.ts'
import type { TaskDocument } from './task-document.ts'

/** How many tasks of a queue and name have a status. */
export interface TaskCount {
  status: TaskStatus
  queue: string
  name: string
  count: number
}

/**
 * Counts the open tasks. Each status is one walk along the keys of its own index, so the history costs nothing.
 *
 * @param visible a filter for what the caller may see
 */
export async function countOpen(
  tasks: mongo.Collection<TaskDocument>,
  visible: Record<string, unknown> = {},
  options: mongo.AggregateOptions = {},
): Promise<TaskCount[]> {
  const counts: TaskCount[] = []
  // One after the other: a session allows no reads side by side.
  for (const status of OPEN_STATUSES) {
    const groups = tasks.aggregate<{ _id: { queue: string; name: string }; count: number }>(
      [
        { $match: { $and: [{ status }, visible] } },
        { $group: { _id: { queue: '$queue', name: '$name' }, count: { $sum: 1 } } },
      ],
      options,
    )
    for (const { _id, count } of await groups.toArray()) counts.push({ status, ..._id, count })
  }
  return counts
}
