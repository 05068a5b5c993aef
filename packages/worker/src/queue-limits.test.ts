import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseNewTask } from '@taskfleet/core/internal'
import { WorkerProcess } from '@taskfleet/testkit/faults/worker-process'
import { fixture } from '@taskfleet/testkit/fleet/command'
import { scriptedTask } from '@taskfleet/testkit/fleet/scripted-task'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { freesUniqueValues } from '@taskfleet/testkit/frees-unique-values'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import { QueueLimits } from './queue-limits.ts'
import { TaskRunner } from './task-runner.ts'

const fleet = useFleet()

describe('the hints about limits', () => {
  test('places are given until all are taken, and `onRoom` is called when one is free', () => {
    const room: string[] = []
    const limits = new QueueLimits({ here: {}, onRoom: (queue) => room.push(queue) })
    expect(limits.isLimited('q')).toBe(false)
    limits.setQueue('q', { concurrency: 2 })
    expect(limits.isLimited('q')).toBe(true)
    const slots = new Set<string>()
    for (const id of ['a', 'b']) {
      const place = limits.place('q')!
      slots.add(place.slot!)
      limits.seen(id, { status: 'running', queue: 'q', slot: place.slot! })
    }
    expect(slots.size).toBe(2)
    expect(limits.place('q')).toBeNull()
    limits.seen('a', { status: 'completed', queue: 'q' })
    expect(room).toEqual(['q'])
    expect(limits.place('q')).not.toBeNull()
    limits.seen('c', null)
    limits.setQueue('q', null)
    expect(limits.place('q')).toEqual({})
  })

  test('a task that changed its place unseen has freed the first', () => {
    const room: string[] = []
    const limits = new QueueLimits({ here: {}, onRoom: (queue) => room.push(queue) })
    limits.setQueue('q', { concurrency: 2 })
    limits.seen('a', { status: 'running', queue: 'q', slot: 'q\n0' })
    limits.seen('b', { status: 'running', queue: 'q', slot: 'q\n1' })
    expect(limits.place('q')).toBeNull()
    limits.seen('b', null)
    limits.seen('a', { status: 'running', queue: 'q', slot: 'q\n1' })
    expect(room).toEqual(['q'])
    expect(limits.place('q')).toEqual({ slot: 'q\n0' })
  })

  test('a place that is left during a query stays free, even if the answer has it as taken', async () => {
    const limits = new QueueLimits({ here: {}, onRoom: () => undefined })
    limits.setQueue('q', { concurrency: 1 })
    const { _id: id } = parseNewTask({ name: 'any', input: {} })
    await limits.load(async () => {
      limits.seen(id.toHexString(), { status: 'completed', queue: 'q' })
      return [{ _id: id, slot: 'q\n0' }]
    })
    expect(limits.place('q')).toEqual({ slot: 'q\n0' })
  })

  test('a limit of this worker alone counts what runs here', () => {
    const room: string[] = []
    const limits = new QueueLimits({ here: { q: 1 }, onRoom: (queue) => room.push(queue) })
    expect(limits.place('q')).toEqual({})
    limits.began('q')
    expect(limits.place('q')).toBeNull()
    limits.ended('q')
    expect(room).toEqual(['q'])
    expect(limits.place('q')).toEqual({})
  })
})

test('a worker runs at most its limit of a queue at once, and other queues meanwhile', async () => {
  const [narrow, wide] = [ownQueue(), ownQueue()]
  let now = 0
  let most = 0
  const counted = defineTask({
    name: 'counted',
    input: z.object({}),
    run: async () => {
      now += 1
      most = Math.max(most, now)
      await new Promise((resolve) => setTimeout(resolve, 150))
      now -= 1
    },
  })
  const tasks = await Promise.all(Array.from({ length: 9 }, () => fleet.fleet.enqueue(counted, {}, { queue: narrow })))
  const others = await Promise.all(
    Array.from({ length: 6 }, () => fleet.post([{ do: 'sleep', ms: 5 }], { queue: wide })),
  )
  const options = {
    queues: [narrow, wide],
    tasks: [counted, scriptedTask()],
    concurrency: 8,
    queueConcurrency: { [narrow]: 2 },
  }
  await fleet.runner(options)
  await Promise.all([...tasks, ...others].map(({ _id }) => fleet.ended(_id)))
  expect(most).toBe(2)
})

test('any number of tasks in a full queue does not block other queues', async () => {
  const [narrow, wide] = [ownQueue(), ownQueue()]
  const urgent = await fleet.fleet.store.enqueue(
    Array.from({ length: 600 }, () =>
      parseNewTask({ name: 'scripted', queue: narrow, priority: 10, input: { steps: [{ do: 'waitForAbort' }] } }),
    ),
  )
  const runner = new TaskRunner({
    mongo: fleet.uri,
    tasks: [scriptedTask()],
    queues: [narrow, wide],
    queueConcurrency: { [narrow]: 1 },
  })
  fleet.cleanup(() => runner.stop({ grace: 0 }))
  const busy = once(runner, 'claimed')
  await runner.start()
  await busy
  const others = await Promise.all(Array.from({ length: 5 }, () => fleet.post([], { queue: wide, priority: 1 })))
  for (const { _id } of others) expect(await fleet.ended(_id)).toMatchObject({ status: 'completed' })
  const running = urgent.filter(({ _id }) => runner.attempt(_id.toHexString()) !== undefined)
  expect(running).toHaveLength(1)
  // Its place is given on as soon as it is free.
  await fleet.fleet.store.cancel(running[0]!._id, 'ann')
  await eventually(() => urgent.some(({ _id }) => _id !== running[0]!._id && runner.attempt(_id.toHexString())))
})

test('a limit of the whole fleet is exact over several workers, also when one is killed, and full again soon after', async (context) => {
  context.skip(!(await freesUniqueValues(fleet.database.db)), 'this server never frees a unique value after an update')
  const queue = ownQueue()
  await fleet.fleet.queues.setLimits(queue, { concurrency: 3 }, 'test')
  const running = () => fleet.fleet.tasks.countDocuments({ queue, status: 'running' })
  let most = 0
  let counts = true
  // One after the other: a slow database would be kept from its work.
  const counting = (async () => {
    for (; counts; await sleep(10)) most = Math.max(most, await running().catch(() => 0))
  })()
  fleet.cleanup(() => {
    counts = false
    return counting
  })
  const inHere = await Promise.all([1, 2].map(() => fleet.runner({ queue, concurrency: 5, leaseMs: 1_500 })))
  const killed = await WorkerProcess.start({
    mongo: fleet.uri,
    tasks: fixture('scripted.mjs'),
    args: ['--queues', queue, '--lease', '1500', '--concurrency', '5'],
  })
  fleet.cleanup(() => killed.signal('SIGKILL'))
  const first = await Promise.all([1, 2, 3].map(() => fleet.post([{ do: 'sleep', ms: 600_000 }], { queue })))
  await eventually(async () => (await running()) === 3)
  const waiting = await Promise.all(
    Array.from({ length: 12 }, () => fleet.post([{ do: 'sleep', ms: 1_000 }], { queue })),
  )
  const { reasons } = await fleet.fleet.control().explain(waiting[0]!._id.toHexString())
  expect(reasons.map(({ code }) => code)).toContain('QUEUE_FULL')
  await fleet.fleet.control().cancel({ ids: first.map(({ _id }) => _id.toHexString()) })
  await eventually(async () => (await fleet.fleet.tasks.countDocuments({ queue, status: 'completed' })) > 0)
  await killed.signal('SIGKILL')
  await Promise.all(waiting.map(({ _id }) => fleet.ended(_id)))
  expect(most).toBe(3)
  expect((await fleet.fleet.store.slots()).length).toBe(0)
  // A raised limit applies without a restart.
  await fleet.fleet.queues.setLimits(queue, { concurrency: null }, 'test')
  const more = await Promise.all(Array.from({ length: 6 }, () => fleet.post([{ do: 'waitForAbort' }], { queue })))
  await eventually(async () => (await running()) === 6)
  await fleet.fleet.control().cancel({ ids: more.map(({ _id }) => _id.toHexString()) })
  await Promise.all(inHere.map((runner) => runner.stop()))
})
