import { toRow } from '@taskfleet/core/internal'
import { rowsChecksum, type TaskRow } from '@taskfleet/protocol'
import {
  ask,
  asked,
  codeOf,
  connect,
  HeldRows,
  ownQueue,
  startGateway,
  startProxy,
  stopReading,
} from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import type { Socket as ServerSocket } from 'socket.io'
import type { Socket } from 'socket.io-client'
import { expect, test } from 'vitest'
import { waitingBytes } from './backlog.ts'

const fleet = useFleet()
const MIB = 1024 * 1024
/** Together nearly 8 MiB, which is more than the buffers of a connection hold. */
const ROWS = 55
const PAD = 'x'.repeat(140_000)

const tasks = () => fleet.database.db.collection('tasks')

async function largeQueue(rows = ROWS): Promise<{ queue: string; ids: string[]; query: object }> {
  const queue = ownQueue()
  const made = await fleet.fleet.as().tasks.enqueueMany({
    tasks: Array.from({ length: rows }, (_, n) => ({ name: 'large', queue, input: { n, pad: PAD } })),
  })
  const query = { filter: { queue }, sort: { _id: 1 }, fields: ['input', 'priority', 'status'], limit: 200 }
  return { queue, ids: made.map(({ _id }) => String(_id)), query }
}

/** The rows as the database has them now. */
async function atRest(queue: string): Promise<TaskRow[]> {
  const docs = await tasks().find({ queue }).sort({ _id: 1 }).toArray()
  return docs.map((doc) => toRow<TaskRow>('tasks', doc, ['input', 'priority', 'status']))
}

/** A gateway that remembers how much has waited at most for any client, and that sends as many parts as a test allows. */
async function observedGateway() {
  const seen = { most: 0, parts: 0, partsAtMost: Number.POSITIVE_INFINITY }
  const known = new Set<ServerSocket>()
  const isBehind = (socket: ServerSocket): boolean => {
    if (!known.has(socket)) {
      known.add(socket)
      socket.onAnyOutgoing((event) => {
        if (event === 'queryPart') seen.parts += 1
      })
    }
    const bytes = waitingBytes(socket)
    seen.most = Math.max(seen.most, bytes)
    return seen.parts >= seen.partsAtMost || bytes > MIB / 2
  }
  /** Resolves when all clients have missed changes, so that they get their rows again. */
  const heldBack = (): Promise<unknown> =>
    eventually(() => [...known].every(({ rooms }) => ![...rooms].some((id) => id.startsWith('q_'))))
  return { seen, heldBack, gateway: await startGateway(fleet, { isBehind }) }
}

const withParts = (url: string): Promise<Socket> => connect(fleet, url, undefined, { parts: true })

test('clients that do not read cost a megabyte each, and delay no other client', async () => {
  const { queue, ids, query } = await largeQueue()
  const { seen, gateway } = await observedGateway()
  const stopped = []
  for (let n = 0; n < 5; n += 1) {
    const socket = await withParts(gateway.url!)
    const resume = new Promise<() => void>((resolve) => socket.once('queryPart', () => resolve(stopReading(socket))))
    stopped.push({ held: await HeldRows.open(socket, query), resume: await resume })
  }
  for (const reading of [query, { ...query, limit: 199 }]) {
    const held = await HeldRows.open(await withParts(gateway.url!), reading)
    await eventually(() => held.loaded)
    expect(held.rows).toHaveLength(ROWS)
    await fleet.fleet.as().tasks.edit({ id: ids[0]!, changes: { priority: reading === query ? 9 : 8 } })
    await eventually(() => held.deltas > 0)
  }
  expect(seen.most).toBeGreaterThan(100_000)
  expect(seen.most).toBeLessThan(1.05 * MIB)
  // They were not disconnected meanwhile, and get everything when they read.
  const rows = await atRest(queue)
  for (const { resume, held } of stopped) {
    expect(held.loaded).toBe(false)
    resume()
    await eventually(() => held.loaded && held.rows.length === ROWS)
    expect(held.rows).toEqual(rows)
  }
  expect(seen.most).toBeLessThan(1.05 * MIB)
})

test('changes while parts are sent are exact, under random writes', async () => {
  const { queue, ids, query } = await largeQueue()
  const { gateway } = await observedGateway()
  const socket = await withParts(gateway.url!)
  let ended = 0
  let parts = 0
  socket.on('queryPart', ({ end }: { end?: object }) => {
    parts += 1
    if (end !== undefined) ended += 1
  })
  const client = fleet.client(gateway.url!)
  const held = await HeldRows.open(socket, query)
  const live = client.subscribe<'tasks'>({ ...query, collection: 'tasks' }, () => undefined)
  const random = (below: number): number => Math.floor(Math.random() * below)
  let resume = (): void => undefined
  for (let round = 0; round < 60; round += 1) {
    if (round % 20 === 5) resume = stopReading(socket)
    if (round % 20 === 15) resume()
    const id = ids[random(ids.length)]!
    const input = { n: round, pad: PAD.slice(0, random(PAD.length)) }
    if (round % 7 === 6) {
      await fleet.fleet
        .as()
        .tasks.cancel({ id })
        .catch(() => undefined)
    } else {
      await fleet.fleet
        .as()
        .tasks.edit({ id, changes: round % 2 === 0 ? { input } : { priority: 1 + random(9) } })
        .catch(() => undefined)
    }
  }
  resume()
  const expected = rowsChecksum(await atRest(queue))
  await eventually(() => held.loaded && rowsChecksum(held.rows as TaskRow[]) === expected)
  expect(held.rows).toEqual(await atRest(queue))
  await eventually(async () => rowsChecksum([...(await live).rows] as TaskRow[]) === expected)
  expect((await live).rows).toEqual(await atRest(queue))
  const proof = await asked<{ checksum: string }>(socket, 'checksumQuery', { subscription: held.subscription })
  expect(proof.checksum).toBe(expected)
  expect(ended).toBeGreaterThan(0)
  expect(parts).toBeGreaterThan(20)
})

test('a client that loses its connection between two parts gets one snapshot of the next one', async () => {
  const { queue, ids, query } = await largeQueue()
  const { seen, heldBack, gateway } = await observedGateway()
  const proxy = await startProxy(fleet, gateway.url!)
  const client = fleet.client(proxy.url)
  const reasons: string[] = []
  seen.partsAtMost = 2
  const opened = client.subscribe<'tasks'>({ ...query, collection: 'tasks' }, (_rows, _delta, reason) => {
    reasons.push(reason)
  })
  await eventually(() => seen.parts === 2)
  // Its answer arrives after the parts.
  await client.queues.resume(queue)
  proxy.cut()
  await fleet.fleet.as().tasks.edit({ id: ids[0]!, changes: { priority: 9 } })
  seen.partsAtMost = Number.POSITIVE_INFINITY
  const live = await opened
  await eventually(() => live.rows[0]?.priority === 9)
  expect(live.rows).toEqual(await atRest(queue))
  expect(reasons[0]).toBe('snapshot')
  // While it is brought up to date, its rows stay as they were, and it resumes from them.
  seen.partsAtMost = 0
  await fleet.fleet.as().tasks.edit({ id: ids[1]!, changes: { priority: 8 } })
  await heldBack()
  seen.partsAtMost = seen.parts + 2
  await eventually(() => !live.live)
  expect(live.rows).toHaveLength(ROWS)
  proxy.cut()
  seen.partsAtMost = Number.POSITIVE_INFINITY
  await eventually(() => live.live && live.rows[1]?.priority === 8)
  expect(live.rows).toEqual(await atRest(queue))
})

test('two subscriptions of one query on one connection both get exact rows', async () => {
  const { queue, ids, query } = await largeQueue()
  const { gateway } = await observedGateway()
  const client = fleet.client(gateway.url!)
  const subscribe = () => client.subscribe<'tasks'>({ ...query, collection: 'tasks' }, () => undefined)
  const both = await Promise.all([subscribe(), subscribe()])
  await fleet.fleet.as().tasks.edit({ id: ids[0]!, changes: { priority: 9 } })
  await eventually(() => both.every(({ rows }) => rows[0]?.priority === 9))
  const rows = await atRest(queue)
  for (const live of both) expect(live.rows).toEqual(rows)
})

test('after it has unsubscribed between two parts, a client gets no more of them, and may subscribe again', async () => {
  const { query } = await largeQueue()
  const { seen, gateway } = await observedGateway()
  const socket = await withParts(gateway.url!)
  seen.partsAtMost = 2
  const { subscription } = await asked<{ subscription: string }>(socket, 'subscribeQuery', query)
  await eventually(() => seen.parts === 2)
  await asked(socket, 'unsubscribeQuery', { subscription })
  seen.partsAtMost = Number.POSITIVE_INFINITY
  // Its answer takes its turn after a part that was due.
  await asked(socket, 'subscribeQuery', { filter: { queue: ownQueue() } })
  expect(seen.parts).toBe(2)
  socket.removeAllListeners('queryPart')
  const held = await HeldRows.open(socket, query)
  await eventually(() => held.loaded)
  expect(held.rows).toHaveLength(ROWS)
})

test('a client that does not take parts gets up to a megabyte of rows, and TOO_BIG above that', async () => {
  const small = await largeQueue(7)
  const { seen, heldBack, gateway } = await observedGateway()
  const socket = await connect(fleet, gateway.url!)
  const held = await HeldRows.open(socket, small.query)
  expect(held.rows).toHaveLength(7)
  const large = await largeQueue(8)
  const refused = await ask(socket, 'subscribeQuery', large.query)
  expect(codeOf(refused)).toBe('TOO_BIG')
  expect(JSON.stringify(refused)).toMatch(/Update the client.*fields.*limit/)
  // Refused subscriptions do not count.
  for (let n = 0; n < 20; n += 1) expect(codeOf(await ask(socket, 'subscribeQuery', large.query))).toBe('TOO_BIG')
  await HeldRows.open(socket, { ...large.query, limit: 7 })
  // It follows a view that grows by deltas. When it misses some, it is disconnected, and refused.
  await fleet.fleet.as().tasks.enqueue({ name: 'large', queue: small.queue, input: { pad: PAD } })
  await eventually(() => held.rows.length === 8)
  const gone = new Promise((resolve) => socket.once('disconnect', resolve))
  seen.partsAtMost = 0
  await fleet.fleet.as().tasks.edit({ id: small.ids[0]!, changes: { priority: 9 } })
  await heldBack()
  seen.partsAtMost = Number.POSITIVE_INFINITY
  expect(await gone).toBe('io server disconnect')
  expect(seen.most).toBeLessThan(1.05 * MIB)
})
