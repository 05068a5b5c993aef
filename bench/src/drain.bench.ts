import { loadavg } from 'node:os'
import type { SigningOptions } from '@taskfleet/core'
import type { QueueLimits } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { z } from 'zod'
import { type Bed, median, serverCpuMs, storeTasks } from './bed.ts'
import { storeEnded } from './ended-tasks.ts'

const SIZES = [500, 2_000, 5_000]
const ROUNDS = 3
const AT_ONCE = 20
const GROUP = 200
/** How many ended tasks a fleet may have kept. */
const ENDED = 100_000
const ENDED_QUEUE = 'ended'

/**
 * How fast does one worker drain waiting no-op tasks, beside a bare driver that does the same number of writes by `_id`,
 * one at a time and in groups? With nothing else stored, and with 100,000 ended tasks. In turns, since other work on the machine comes and goes.
 */
export async function run(bed: Bed): Promise<void> {
  for (const ended of [0, ENDED]) await drains(bed, ended)
}

/** @param ended how many ended documents there are besides, for the bare driver too */
async function drains(bed: Bed, ended: number): Promise<void> {
  await bed.fleet.database.db.collection('bare').deleteMany({})
  for (let first = -ended; first < 0; first += SIZES[2]!) {
    const documents = Array.from({ length: SIZES[2]! }, (_, n) => ({ _id: first + n, status: 'completed' }))
    await bed.fleet.database.db.collection<Bare>('bare').insertMany(documents)
  }
  for (const size of SIZES) {
    const rates = { single: [], grouped: [], ours: [], ahead: [] } as Record<string, number[]>
    for (let round = 0; round < ROUNDS; round += 1) {
      rates.single!.push(await bareDriver(bed, size))
      await fillWithEnded(bed, ended)
      rates.ours!.push(await drain(bed, size, { prefetch: 0 }))
      rates.grouped!.push(await groupingDriver(bed, size))
      await fillWithEnded(bed, ended)
      rates.ahead!.push(await drain(bed, size))
    }
    const [single, grouped, ours, ahead] = [rates.single, rates.grouped, rates.ours, rates.ahead].map((all) =>
      median(all!),
    ) as [number, number, number, number]
    const line = [
      `${size} tasks${ended === 0 ? '' : ` beside ${ended} ended ones`}, a second: ${ahead.toFixed(0)}, ${ours.toFixed(0)} with none claimed ahead`,
      `bare driver ${single.toFixed(0)} one write at a time on ${AT_ONCE} loops, ${grouped.toFixed(0)} in groups of ${GROUP}`,
      `${(ahead / single).toFixed(2)} and ${(ours / single).toFixed(2)} × one at a time, ${(ahead / grouped).toFixed(2)} × grouped`,
    ]
    process.stdout.write(`${line.join('; ')}; load average ${loadavg()[0]!.toFixed(1)}\n`)
  }
}

const noop = defineTask({ name: 'noop', input: z.object({}), run: () => null })

interface DrainOptions {
  /** 1 by default. */
  workers?: number
  /** How many are claimed ahead; by default as many as the worker decides. */
  prefetch?: number | 'auto'
  signing?: SigningOptions | undefined
  /** How many may start within a time. */
  rate?: QueueLimits['rate']
}

/** Tasks a second of `measuredDrain`. */
export const drain = async (
  bed: Pick<Bed, 'fleet' | 'uri'>,
  size: number,
  options: DrainOptions = {},
): Promise<number> => (await measuredDrain({ serverPid: undefined, ...bed }, size, options)).rate

/**
 * Tasks a second, and the microseconds of CPU time that the workers and the server take for each, from the moment when their queue opens
 * to the last acknowledged end. The workers are there before.
 */
export async function measuredDrain(
  { fleet, uri, serverPid }: Pick<Bed, 'fleet' | 'uri' | 'serverPid'>,
  size: number,
  { workers = 1, prefetch = 'auto', signing, rate }: DrainOptions = {},
): Promise<{ rate: number; cpuUs: number }> {
  const queue = `drain-${size}-${prefetch}-${Date.now()}`
  const common = { mongo: uri, tasks: [noop], queues: [queue], concurrency: AT_ONCE, prefetch }
  if (rate !== undefined) await fleet.queues.setLimits(queue, { rate }, 'bench')
  await storeTasks(fleet, size, { name: 'noop', queue })
  await fleet.queues.setPaused(queue, true, 'bench')
  const runners = Array.from({ length: workers }, () => new TaskRunner({ ...common, ...given({ signing }) }))
  let done = 0
  const drained = new Promise<void>((resolve) => {
    const onSuccess = (): void => {
      done += 1
      if (done === size) resolve()
    }
    for (const runner of runners) runner.on('success', onSuccess)
  })
  await Promise.all(runners.map((runner) => runner.start()))
  const startedAt = performance.now()
  const cpuBefore = cpuMs(serverPid)
  await fleet.queues.setPaused(queue, false, 'bench')
  await drained
  const seconds = (performance.now() - startedAt) / 1_000
  const cpuUs = ((cpuMs(serverPid) - cpuBefore) * 1_000) / size
  await Promise.all(runners.map((runner) => runner.stop({ grace: 0 })))
  return { rate: size / seconds, cpuUs }
}

/** The time that this process and the server have taken. */
function cpuMs(serverPid: number | undefined): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000 + serverCpuMs(serverPid)
}

/** Lets the fleet have this many ended tasks, copies of one that ended here, and nothing else. */
export async function fillWithEnded(bed: Bed, ended: number): Promise<void> {
  const { tasks } = bed.fleet
  const queue = ENDED_QUEUE
  const there = await tasks.countDocuments({ queue })
  await tasks.deleteMany(there === ended ? { queue: { $ne: queue } } : {})
  if (there === ended) return
  await drain(bed, 1)
  const [one] = await tasks.find({ status: 'completed' }).limit(1).toArray()
  if (one === undefined) throw new Error('no task has ended')
  await tasks.deleteMany({})
  await storeEnded(tasks as never, { ...one, queue }, ended)
}

interface Bare {
  _id: number
  status: string
}

async function fill(bed: Bed, size: number) {
  const collection = bed.fleet.database.db.collection<Bare>('bare')
  await collection.deleteMany({ _id: { $gte: 0 } })
  await collection.insertMany(Array.from({ length: size }, (_, _id) => ({ _id, status: 'pending' })))
  return collection
}

/** The least that a claim and an end cost: two writes by `_id`, nothing around them. */
async function bareDriver(bed: Bed, size: number): Promise<number> {
  const collection = await fill(bed, size)
  let next = 0
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let _id = next++; _id < size; _id = next++) {
        await collection.findOneAndUpdate({ _id, status: 'pending' }, { $set: { status: 'running' } })
        await collection.updateOne({ _id, status: 'running' }, { $set: { status: 'completed' } })
      }
    }),
  )
  return size / ((performance.now() - startedAt) / 1_000)
}

async function groupingDriver(bed: Bed, size: number): Promise<number> {
  const collection = await fill(bed, size)
  const startedAt = performance.now()
  for (let first = 0; first < size; first += GROUP) {
    const ids = Array.from({ length: Math.min(GROUP, size - first) }, (_, index) => first + index)
    for (const [from, to] of [
      ['pending', 'running'],
      ['running', 'completed'],
    ] as const) {
      const writes = ids.map((_id) => ({
        updateOne: { filter: { _id, status: from }, update: { $set: { status: to } } },
      }))
      await collection.bulkWrite(writes, { ordered: false })
    }
  }
  return size / ((performance.now() - startedAt) / 1_000)
}
