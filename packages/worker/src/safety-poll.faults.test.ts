import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'
import type { TaskRunner } from './task-runner.ts'

const fleet = useFleet()

/** Long beside what a task takes, short beside the patience of a test. */
const pollMs = 4_000

const found = (runners: readonly TaskRunner[]): number[] => runners.map(({ foundByPoll }) => foundByPoll)

test('no task waits for the safety poll, with any limits and rates of its queue', async () => {
  const { queues } = fleet.fleet
  const [rated, both, narrow, fleetWide] = [ownQueue(), ownQueue(), ownQueue(), ownQueue()]
  await queues.setLimits(rated, { rate: { limit: 12, per: '1s' } }, 'test')
  await queues.setLimits(both, { rate: { limit: 12, per: '1s' }, concurrency: 2 }, 'test')
  await queues.setLimits(fleetWide, { concurrency: 2 }, 'test')
  const all = [rated, both, narrow, fleetWide]
  const runners = await Promise.all(
    [1, 2, 3].map(() =>
      fleet.runner({ queues: all, concurrency: 6, queueConcurrency: { [narrow]: 1, [rated]: 2 }, pollMs }),
    ),
  )
  const tasks = await Promise.all(
    Array.from({ length: 60 }, (_, n) =>
      fleet.post(n % 3 === 0 ? [{ do: 'fail', times: 1 }] : [{ do: 'sleep', ms: n % 20 }], { queue: all[n % 4]! }),
    ),
  )
  const ended = await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
  expect(new Set(ended.map(({ status }) => status))).toEqual(new Set(['completed']))
  expect(found(runners)).toEqual([0, 0, 0])
})
