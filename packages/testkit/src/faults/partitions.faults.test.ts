import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { TaskDocument } from '@taskfleet/core'
import { compileQuery, parseNewTask, toRow } from '@taskfleet/core/internal'
import type { QueryRequest, TaskRow } from '@taskfleet/protocol'
import { describe, expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import { GatewayProcess } from '../fleet/gateway-process.ts'
import { type HistoryClient, LibraryClient, PlainClient } from '../fleet/history-clients.ts'
import { ownQueue } from '../fleet/test-sockets.ts'
import { eventually, useFleet } from '../fleet/use-fleet.ts'
import { randomOf } from '../live/write-history.ts'
import { ReplyRelay } from '../reply-relay.ts'

const LEASE_MS = 1_500
const SOON_MS = 5_000
const SEED = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)
const fleet = useFleet()

type Cut = (relay: ReplyRelay) => void
const CUTS: Record<string, Cut> = {
  'what it asks': (relay) => relay.stall('asked'),
  'what it is answered': (relay) => relay.stall('answered'),
  'both ways': (relay) => relay.stall('asked', 'answered'),
  'with every connection broken': (relay) => relay.cut(),
}

async function relayTo(url: string): Promise<{ relay: ReplyRelay; url: string }> {
  const relay = new ReplyRelay(url)
  const address = await relay.start(url)
  fleet.cleanup(() => {
    relay.heal()
    return relay.stop()
  })
  return { relay, url: address }
}

/** Checks that no attempt is claimed while the session of the one before is live. */
function checkEnded(task: TaskDocument): void {
  expect(task, JSON.stringify(task.attempts)).toMatchObject({ status: 'completed', failures: 0 })
  expect(task.lost).toBeLessThanOrEqual(1)
  checkInvariants(task)
}

describe('F13: replies that are lost twice in a row', () => {
  test('make no task run twice and leave none behind, whichever write they belong to', async () => {
    const { relay, url } = await relayTo(fleet.uri)
    const queue = ownQueue()
    await Promise.all([1, 2].map(() => fleet.runner({ mongo: url, queue, concurrency: 3, leaseMs: LEASE_MS })))
    const tasks: TaskDocument[] = []
    for (const command of ['findAndModify', 'update', 'find', 'aggregate', 'getMore', 'insert']) {
      relay.lose([command], 2)
      countFault('reply lost', 2)
      for (let n = 0; n < 6; n += 1) tasks.push(await fleet.post([{ do: 'sleep', ms: 20 }], { queue }))
      const ended = await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
      for (const task of ended) checkEnded(task)
    }
  })
})

describe.each(Object.entries(CUTS))('F14: a worker that is cut off from the database, %s', (_how, cut) => {
  test.each([0.5, 2, 5])('for %d leases, has its tasks run once more at most, and works again soon', async (leases) => {
    const queue = ownQueue()
    const own = ownQueue()
    const { relay, url } = await relayTo(fleet.uri)
    const cutOff = await fleet.runner({ mongo: url, queues: [queue, own], concurrency: 4, leaseMs: LEASE_MS })
    const steps = [{ do: 'sleep', ms: 4_000 } as const]
    const tasks = await Promise.all([1, 2, 3].map(() => fleet.post(steps, { queue })))
    for (const task of tasks) await fleet.runsAt(cutOff, task)
    await fleet.runner({ queue, concurrency: 4, leaseMs: LEASE_MS })
    cut(relay)
    countFault('worker cut off')
    await sleep(leases * LEASE_MS)
    relay.heal()
    const healedAt = Date.now()
    const next = await fleet.ended((await fleet.post([], { queue: own }))._id)
    expect(next).toMatchObject({ status: 'completed', attempt: 1 })
    expect(next.finishedAt!.getTime() - healedAt).toBeLessThan(SOON_MS)
    for (const { _id } of tasks) {
      const ended = await fleet.ended(_id)
      checkEnded(ended)
      expect(ended.attempt).toBeLessThanOrEqual(2)
    }
  })
})

describe.each(Object.entries(CUTS))('F15: cut off, %s', (_how, cut) => {
  const LISTS: QueryRequest[] = [
    { filter: { status: 'pending' }, sort: { _id: 1 }, limit: 10 },
    { filter: {}, sort: { _id: -1 }, limit: 10 },
  ]

  async function clientsOf(url: string): Promise<HistoryClient[]> {
    const clients = LISTS.flatMap((list) => [
      new LibraryClient(url, list, new Set()),
      new PlainClient(url, list, new Set()),
    ])
    for (const client of clients) {
      fleet.cleanup(() => client.close())
      await client.open()
    }
    return clients
  }

  /** Writes before, during and after the partition; then every client must have the stored rows. */
  async function exactSoon(relay: ReplyRelay, clients: readonly HistoryClient[]): Promise<void> {
    const queue = ownQueue()
    const write = () =>
      fleet.fleet.store.enqueue(Array.from({ length: 20 }, () => parseNewTask({ name: 'x', input: {}, queue })))
    await write()
    cut(relay)
    countFault('view cut off')
    await write()
    await sleep(3_000)
    await write()
    relay.heal()
    const healedAt = Date.now()
    await eventually(async () => {
      const wanted = await Promise.all(clients.map(({ request }) => stored(request)))
      return clients.every(({ rows }, n) => isDeepStrictEqual(rows, wanted[n]))
    })
    expect(Date.now() - healedAt).toBeLessThan(SOON_MS)
    expect(clients.flatMap(({ faults }) => faults)).toEqual([])
  }

  test('a gateway from the database: its views are exact soon after', async () => {
    const { relay, url } = await relayTo(fleet.uri)
    const gateway = await GatewayProcess.start(url)
    fleet.cleanup(() => gateway.kill())
    await exactSoon(relay, await clientsOf(gateway.url))
  })

  test('clients from their gateway: their views are exact soon after', async () => {
    const gateway = await GatewayProcess.start(fleet.uri)
    fleet.cleanup(() => gateway.kill())
    const { relay, url } = await relayTo(gateway.url)
    await exactSoon(relay, await clientsOf(new URL(url).origin))
  })
})

test(`F16: links that stall one by one and heal in another order lose nothing (seed ${SEED})`, async () => {
  const random = randomOf(SEED)
  const queue = ownQueue()
  const links = await Promise.all([1, 2, 3].map(() => relayTo(fleet.uri)))
  for (const { url } of links) await fleet.runner({ mongo: url, queue, concurrency: 4, leaseMs: LEASE_MS })
  const tasks: TaskDocument[] = []
  for (let round = 0; round < 5; round += 1) {
    for (let n = 0; n < 12; n += 1) {
      tasks.push(await fleet.post([{ do: 'sleep', ms: Math.floor(random() * 1_000) }], { queue }))
    }
    for (const { relay } of inAnyOrder(links, random)) {
      const cuts = Object.values(CUTS)
      cuts[Math.floor(random() * cuts.length)]!(relay)
      countFault('link stalled')
      await sleep(random() * LEASE_MS)
    }
    for (const { relay } of inAnyOrder(links, random)) {
      relay.heal()
      await sleep(random() * LEASE_MS)
    }
  }
  const ended = await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
  for (const task of ended) checkEnded(task)
})

function inAnyOrder<T>(all: readonly T[], random: () => number): T[] {
  return all
    .map((one) => ({ one, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ one }) => one)
}

async function stored(request: QueryRequest): Promise<TaskRow[]> {
  const { filter, sort, limit, fields } = compileQuery(request)
  const docs = await fleet.database.db.collection('tasks').find(filter).sort(sort).limit(limit).toArray()
  return docs.map((doc) => toRow<TaskRow>('tasks', doc, fields))
}
