import { setTimeout as sleep } from 'node:timers/promises'
import type { TaskDocument } from '@taskfleet/core'
import { checkInvariants } from '@taskfleet/testkit/describe-task-store'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { ReplyRelay } from '@taskfleet/testkit/reply-relay'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import type { TaskRunner } from './task-runner.ts'

const fleet = useFleet()
const LEASE_MS = 1_500

/** A way to the database that can be cut. */
async function relay(): Promise<{ uri: string; relay: ReplyRelay }> {
  const made = new ReplyRelay(fleet.uri)
  fleet.cleanup(() => made.stop())
  return { uri: await made.start(fleet.uri), relay: made }
}

/** What handlers have seen, by what they call it. */
type Note = { what: string; at: number; owned: boolean }

/** A task that records its steps, saves checkpoints and waits for proof before its last step. */
const watched = (over: { name?: string; inDoubt?: 'abort' | { for: number }; ms?: number } = {}) => {
  const notes: Note[] = []
  const note = (what: string, owned: boolean): number => notes.push({ what, at: Date.now(), owned })
  const task = defineTask({
    name: over.name ?? 'watched',
    input: z.object({}),
    ...(over.inDoubt === undefined ? {} : { inDoubt: over.inDoubt }),
    run: async ({ task, signal, checkpoint }) => {
      note('begin', task.owned)
      signal.addEventListener('abort', () => note((signal.reason as { code: string }).code, task.owned))
      for (const until = Date.now() + (over.ms ?? 5_000); Date.now() < until; ) {
        await sleep(50, undefined, { signal })
        if (!task.owned && !notes.some(({ what }) => what === 'doubt')) note('doubt', false)
      }
      await task.proven()
      note('proven', task.owned)
      await checkpoint.save({ done: true })
      return 'whole'
    },
  })
  return { task, notes, seen: (what: string) => notes.find((one) => one.what === what) }
}

/** Its document says `running` before its worker knows: the answer to the claim is still on its way. */
const begun = ({ notes }: Pick<ReturnType<typeof watched>, 'notes'>, times = 1): Promise<unknown> =>
  eventually(() => notes.filter(({ what }) => what === 'begin').length === times)

describe('F31: an outage of the database', () => {
  test('that is longer than a lease costs a running task nothing, and ends no session', async () => {
    const queue = ownQueue()
    const way = await relay()
    const { task, notes, seen } = watched()
    const runners = await Promise.all(
      [1, 2].map(() => fleet.runner({ mongo: way.uri, queue, tasks: [task], leaseMs: LEASE_MS, concurrency: 1 })),
    )
    const tasks = await Promise.all([1, 2].map(() => fleet.fleet.enqueue(task, {}, { queue })))
    await begun({ notes }, 2)
    const sessions = runners.map(({ id }) => id).sort()
    way.relay.cut()
    await eventually(() => seen('doubt'))
    await sleep(2 * LEASE_MS)
    way.relay.heal()
    for (const { _id } of tasks) {
      const ended = await fleet.ended(_id)
      expect(ended).toMatchObject({ status: 'completed', output: 'whole', attempt: 1, lost: 0, failures: 0 })
      checkInvariants(ended)
    }
    // Nobody ended anybody's session.
    expect(runners.map(({ id }) => id).sort()).toEqual(sessions)
    // New work is taken up again.
    const next = await fleet.fleet.enqueue(watched({ ms: 10 }).task, {}, { queue })
    expect(await fleet.ended(next._id)).toMatchObject({ status: 'completed', attempt: 1 })
  })

  test('that begins before the first renewal costs nothing either', async () => {
    const queue = ownQueue()
    const way = await relay()
    const { task, notes, seen } = watched({ ms: 6_000 })
    const lines: string[] = []
    const log = pino({ level: 'debug' }, { write: (line) => void lines.push(line) })
    const runner = await fleet.runner({ mongo: way.uri, queue, tasks: [task], leaseMs: 2 * LEASE_MS, log })
    const posted = await fleet.fleet.enqueue(task, {}, { queue })
    await begun({ notes })
    way.relay.cut()
    await eventually(() => lines.some((line) => line.includes('the session could not be renewed')))
    await eventually(() => seen('doubt'))
    way.relay.heal()
    expect(await fleet.ended(posted._id)).toMatchObject({ status: 'completed', attempt: 1, lost: 0, failures: 0 })
    expect(seen('proven')).toMatchObject({ owned: true })
    const renewed = async (): Promise<number> => (await fleet.fleet.workers.find(runner.id))!.heartbeatAt.getTime()
    const since = await renewed()
    await eventually(async () => (await renewed()) > since + 2 * LEASE_MS)
    expect(lines.filter((line) => line.includes('the session can not be renewed'))).toHaveLength(1)
  })

  test('delays the results of handlers that end meanwhile, and checkpoints', async () => {
    const queue = ownQueue()
    const way = await relay()
    const { task, notes, seen } = watched({ ms: 300 })
    await fleet.runner({ mongo: way.uri, queue, tasks: [task], leaseMs: LEASE_MS })
    const posted = await fleet.fleet.enqueue(task, {}, { queue })
    await begun({ notes })
    way.relay.cut()
    await sleep(2 * LEASE_MS)
    expect((await fleet.fleet.store.find(posted._id))?.status).toBe('running')
    way.relay.heal()
    expect(await fleet.ended(posted._id)).toMatchObject({
      ...{ status: 'completed', output: 'whole', checkpoint: { done: true } },
      ...{ attempt: 1, lost: 0, failures: 0 },
    })
    expect(seen('proven')).toMatchObject({ owned: true })
  })

  test('that is longer than a handler may be in doubt releases its task, at no cost', async () => {
    const queue = ownQueue()
    const way = await relay()
    const { task, notes } = watched({ inDoubt: { for: 500 }, ms: 20_000 })
    await fleet.runner({ mongo: way.uri, queue, tasks: [task], leaseMs: LEASE_MS })
    const posted = await fleet.fleet.enqueue(task, {}, { queue })
    await begun({ notes })
    way.relay.cut()
    await eventually(() => notes.some(({ what }) => what === 'IN_DOUBT'))
    way.relay.heal()
    const again = await fleet.until(posted._id, ({ attempt, status }) => attempt === 2 && status === 'running')
    expect(again).toMatchObject({ lost: 0, failures: 0 })
    expect(again.attempts[0]).toMatchObject({ outcome: 'released' })
  })
})

describe('F32: a worker that is cut off alone', () => {
  const cutOff = async (
    over: Parameters<typeof watched>[0],
  ): Promise<{
    posted: TaskDocument
    cut: TaskRunner
    first: ReturnType<typeof watched>
    way: ReplyRelay
  }> => {
    const queue = ownQueue()
    const way = await relay()
    const first = watched({ ms: 20_000, ...over })
    const second = watched({ ms: 50 })
    const cut = await fleet.runner({ mongo: way.uri, queue, tasks: [first.task], leaseMs: LEASE_MS, name: 'cut' })
    const posted = await fleet.fleet.enqueue(first.task, {}, { queue })
    await begun(first)
    await fleet.runner({ queue, tasks: [second.task], leaseMs: LEASE_MS })
    way.relay.cut()
    return { posted, cut, first, way: way.relay }
  }

  test('loses its tasks to others after a lease; they were in doubt before, and its late writes match nothing', async () => {
    const { posted, cut, first, way } = await cutOff({})
    const session = cut.id
    const ended = await fleet.ended(posted._id)
    expect(ended).toMatchObject({ status: 'completed', attempt: 2, failures: 0 })
    expect(ended.attempts[0]).toMatchObject({ worker: session, outcome: 'lost' })
    expect(first.seen('doubt')!.at).toBeLessThan(ended.attempts[1]!.claimedAt.getTime())
    way.heal()
    // It learns that its session has ended, abandons the attempt, and goes on under another one.
    await eventually(() => first.seen('LEASE_LOST'))
    await eventually(() => cut.id !== session)
    await eventually(async () => (await fleet.fleet.workers.find(cut.id))?.state === 'running')
    // It lived, and says so of the session that was taken for dead.
    await eventually(async () => (await fleet.fleet.workers.find(session))?.state === 'stopped')
    expect(await fleet.fleet.store.find(posted._id)).toMatchObject({ status: 'completed', attempt: 2 })
  })

  test('aborts a task that must not overlap before another worker claims it', async () => {
    const { posted, first, way } = await cutOff({ inDoubt: 'abort' })
    const again = await fleet.until(posted._id, ({ attempt }) => attempt === 2)
    const abandoned = first.seen('IN_DOUBT')
    expect(abandoned!.at).toBeLessThan(again.claimedAt!.getTime())
    way.heal()
  })

  test('takes back the counted loss when it returns', async () => {
    const queue = ownQueue()
    const way = await relay()
    const first = watched({ ms: 20_000 })
    const cut = await fleet.runner({ mongo: way.uri, queue, tasks: [first.task], leaseMs: LEASE_MS })
    const posted = await fleet.fleet.enqueue(first.task, {}, { queue })
    await begun(first)
    const session = cut.id
    // Somebody who reaps, and serves something else.
    await fleet.runner({ queue: ownQueue(), leaseMs: LEASE_MS })
    way.relay.cut()
    await fleet.until(posted._id, ({ status, lost }) => status === 'pending' && lost === 1)
    way.relay.heal()
    const back = await fleet.until(posted._id, ({ attempts, lost }) => attempts[0]?.survived === true && lost === 0)
    expect(back.failures).toBe(0)
    expect(back.attempts[0]).toMatchObject({ worker: session, outcome: 'lost' })
  })

  test('takes back the loss also when it learns of its tasks before its session', async () => {
    const queue = ownQueue()
    const first = watched({ ms: 20_000 })
    const cut = await fleet.runner({ queue, tasks: [first.task], leaseMs: 30_000 })
    const posted = await fleet.fleet.enqueue(first.task, {}, { queue })
    await begun(first)
    const workers = fleet.database.db.collection<{ _id: string; state: string }>('workers')
    await workers.updateOne({ _id: cut.id }, { $set: { state: 'dead' } })
    await fleet.fleet.store.reap()
    const back = await fleet.until(posted._id, ({ attempts, lost }) => attempts[0]?.survived === true && lost === 0)
    expect(back.failures).toBe(0)
  })
})
