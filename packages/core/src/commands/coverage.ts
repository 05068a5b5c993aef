import type { CoverageRow } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { millis } from '../task/server-time.ts'
import type { WorkerDocument } from '../worker/worker-model.ts'
import type { WorkerRegister } from '../worker/worker-register.ts'

/** Which `name@version` waits or runs, and which live workers can run it; those that nobody serves come first. */
export async function coverage(
  tasks: mongo.Collection,
  workers: WorkerRegister,
  now: Date,
  visible: Record<string, unknown> = {},
): Promise<CoverageRow[]> {
  const [groups, live] = await Promise.all([
    tasks
      .aggregate<
        Omit<CoverageRow, 'name' | 'version' | 'oldest' | 'workers' | 'served'> & {
          _id: { name: string; version: number }
          oldest?: Date
        }
      >([
        {
          $match: {
            $and: [
              { status: { $in: ['pending', 'running'] } },
              { $expr: { $and: [{ $eq: [{ $type: '$name' }, 'string'] }, { $isNumber: '$version' }] } },
              visible,
            ],
          },
        },
        {
          $group: {
            _id: { name: '$name', version: '$version' },
            waiting: { $sum: { $cond: [{ $eq: ['$status', 'pending'] }, 1, 0] } },
            due: {
              $sum: {
                $cond: [
                  {
                    $and: [
                      { $eq: ['$status', 'pending'] },
                      { $lte: [millis('$runAt', Number.MAX_SAFE_INTEGER), now.getTime()] },
                    ],
                  },
                  1,
                  0,
                ],
              },
            },
            running: { $sum: { $cond: [{ $eq: ['$status', 'running'] }, 1, 0] } },
            oldest: { $min: { $toDate: millis('$runAt') } },
          },
        },
      ])
      .toArray(),
    workers.live(),
  ])
  return groups
    .map(({ _id: { name, version }, oldest, waiting, due, running }) => {
      const serving = live.filter((worker) => serves(worker, name, version)).map((worker) => worker.name)
      return {
        name,
        version,
        waiting,
        due,
        running,
        ...(oldest instanceof Date ? { oldest: oldest.toISOString() } : {}),
        workers: serving,
        served: serving.length > 0,
      }
    })
    .sort((a, b) => Number(a.served) - Number(b.served) || a.name.localeCompare(b.name) || a.version - b.version)
}

export const serves = (worker: WorkerDocument, name: string, version: number): boolean =>
  worker.state === 'running' && worker.tasks.includes(`${name}@${version}`)
