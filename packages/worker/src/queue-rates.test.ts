import type { TaskDocument } from '@taskfleet/core'
import type { QueueLimits } from '@taskfleet/protocol'
import { WorkerProcess } from '@taskfleet/testkit/faults/worker-process'
import { fixture } from '@taskfleet/testkit/fleet/command'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'

const fleet = useFleet()
const TASKS = fixture('scripted.mjs')

const limit = (queue: string, rate: QueueLimits['rate']) => fleet.fleet.queues.setLimits(queue, { rate: rate! }, 'test')
const post = (queue: string, count: number, ...steps: Parameters<typeof fleet.post>[0]): Promise<TaskDocument[]> =>
  Promise.all(Array.from({ length: count }, () => fleet.post(steps, { queue })))
const ended = (tasks: readonly TaskDocument[]) => Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))

/** When attempts of a queue's tasks were claimed, in order. */
async function starts(queue: string): Promise<number[]> {
  const tasks = await fleet.fleet.tasks.find({ queue }).toArray()
  return tasks.flatMap(({ attempts }) => attempts.map(({ claimedAt }) => claimedAt.getTime())).sort((a, b) => a - b)
}

/** How many lie in the fullest span of so many milliseconds. */
const mostWithin = (times: readonly number[], span: number): number =>
  Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + span).length))

test('no more tasks start in any period than the rate, over several workers, one of them killed', async () => {
  const queue = ownQueue()
  await limit(queue, { limit: 10, per: '2s' })
  await Promise.all([1, 2].map(() => fleet.runner({ queue, concurrency: 8, leaseMs: 1_500 })))
  const killed = await WorkerProcess.start({
    mongo: fleet.uri,
    tasks: TASKS,
    args: ['--queues', queue, '--lease', '1500', '--concurrency', '8'],
  })
  fleet.cleanup(() => killed.signal('SIGKILL'))
  const tasks = await post(queue, 40, { do: 'sleep', ms: 150 })
  await eventually(async () => (await fleet.fleet.tasks.countDocuments({ queue, status: 'completed' })) >= 15)
  await killed.signal('SIGKILL')
  expect((await ended(tasks)).map(({ status }) => status)).toEqual(tasks.map(() => 'completed'))
  const times = await starts(queue)
  expect(times.length).toBeGreaterThanOrEqual(40)
  expect(mostWithin(times, 2_000)).toBe(10)
})

test('every attempt counts, whether it is the first one or not', async () => {
  const queue = ownQueue()
  await limit(queue, { limit: 2, per: '1s' })
  await fleet.runner({ queue })
  await ended(await post(queue, 2, { do: 'fail', times: 2 }))
  const times = await starts(queue)
  expect(times).toHaveLength(6)
  expect(mostWithin(times, 1_000)).toBe(2)
})

test('tasks of another queue of the same worker are not delayed, and `explain` names the reason for this one', async () => {
  const [slow, free] = [ownQueue(), ownQueue()]
  await limit(slow, { limit: 1, per: '1h' })
  const waiting = await Promise.all(Array.from({ length: 20 }, () => fleet.post([], { queue: slow, priority: 'high' })))
  await fleet.runner({ queues: [slow, free], concurrency: 2 })
  await ended(await post(free, 10))
  const left = await eventually(async () => {
    const tasks = await fleet.fleet.tasks.find({ queue: slow, status: 'pending' }).toArray()
    return tasks.length === 19 && tasks
  })
  expect(waiting).toHaveLength(20)
  const { reasons, willRun } = await fleet.fleet.control().explain(left[0]!._id.toHexString())
  expect(willRun).toBe(true)
  expect(reasons[0]).toMatchObject({
    code: 'RATE_LIMITED',
    message: expect.stringMatching(/^The rate of the queue '.*', 1 per 1h, is used up; the next start is at 2/),
  })
  const [start] = await starts(slow)
  expect(Date.parse(reasons[0]!.at!) - start!).toBeGreaterThan(3_600_000)
  // A task that is not due has another reason.
  const later = await fleet.post([], { queue: slow, runAt: new Date(Date.now() + 3_600_000) })
  const explained = await fleet.fleet.control().explain(later._id.toHexString())
  expect(explained.reasons.map(({ code }) => code)).toEqual(['NOT_DUE'])
})

test('removing a rate frees the waiting tasks at once, and a changed one counts earlier starts', async () => {
  const queue = ownQueue()
  await limit(queue, { limit: 3, per: '1h' })
  await fleet.runner({ queue, concurrency: 4 })
  const tasks = await post(queue, 12)
  const left = () => fleet.fleet.tasks.countDocuments({ queue, status: 'pending' })
  await eventually(async () => (await left()) === 9)
  await limit(queue, { limit: 5, per: '1h' })
  await eventually(async () => (await left()) === 7)
  await limit(queue, { limit: 2, per: '30m' })
  const next = await eventually(async () => {
    const { reasons } = await fleet.fleet.control().explain((await pendingOf(queue))._id.toHexString())
    return reasons.find(({ message }) => message.includes('2 per 30m'))
  })
  expect(next.code).toBe('RATE_LIMITED')
  await limit(queue, null)
  await ended(tasks)
})

const pendingOf = async (queue: string): Promise<TaskDocument> =>
  (await fleet.fleet.tasks.findOne({ queue, status: 'pending' }))!

test('a rate goes together with a limit of how many run at once on a worker', async () => {
  const queue = ownQueue()
  await limit(queue, { limit: 4, per: '1s' })
  await fleet.runner({ queue, concurrency: 8, queueConcurrency: { [queue]: 1 } })
  await ended(await post(queue, 9, { do: 'sleep', ms: 10 }))
  const times = await starts(queue)
  expect(mostWithin(times, 1_000)).toBeLessThanOrEqual(4)
})

test('the unused starts of two workers that wanted the same tasks are returned', async () => {
  const queue = ownQueue()
  await limit(queue, { limit: 12, per: '1h' })
  await Promise.all([1, 2, 3].map(() => fleet.runner({ queue, concurrency: 4, pollMs: 500 })))
  await ended(await post(queue, 12))
  expect(await starts(queue)).toHaveLength(12)
})

test.each([
  [{ limit: 0, per: '1m' }, 'OUT_OF_RANGE'],
  [{ limit: 100_001, per: '1m' }, 'OUT_OF_RANGE'],
  [{ limit: 1, per: '999ms' }, 'OUT_OF_RANGE'],
  [{ limit: 1, per: '25h' }, 'OUT_OF_RANGE'],
  [{ limit: 1, per: 'soon' as never }, 'BAD_DURATION'],
] as [QueueLimits['rate'], string][])('the rate %j is refused with %s', async (rate, code) => {
  await expect(limit('q', rate)).rejects.toMatchObject({ code })
})
