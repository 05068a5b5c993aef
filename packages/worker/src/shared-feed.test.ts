import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KeyStore } from '@taskfleet/core'
import {
  type Change,
  ChangeFeed,
  encodeChange,
  FEED_NAMESPACE,
  FeedTokens,
  LoadMeter,
  parseSecrets,
  SigningKeys,
} from '@taskfleet/core/internal'
import { GatewayHost } from '@taskfleet/gateway'
import { scriptedTask } from '@taskfleet/testkit/fleet/scripted-task'
import { LOOPBACK, ownQueue, refusal, silent } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { ReplyRelay } from '@taskfleet/testkit/reply-relay'
import { Server } from 'socket.io'
import { io } from 'socket.io-client'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import { SharedFeed } from './shared-feed.ts'

const fleet = useFleet()
const LATER = new Date(Date.now() + 3_600_000)

afterEach(async () => {
  await fleet.database.db.collection('workers').deleteMany({})
})

const tokens = (secret?: string): FeedTokens => {
  const now = (): Date => fleet.database.clock.now()
  return new FeedTokens(new SigningKeys(new KeyStore(fleet.database.db, now), parseSecrets(secret)), now)
}

async function startHost(secret?: string): Promise<GatewayHost> {
  const host = new GatewayHost({ mongo: fleet.uri, listen: LOOPBACK, log: silent, secret })
  fleet.cleanup(() => host.stop())
  await host.start()
  return host
}

/** A shared feed, and what it has reported. */
async function startFeed(queues: string[], over: { session?: string; listens?: boolean; secret?: string } = {}) {
  const { session = 'mine', listens = false, secret } = over
  const changes: Change[] = []
  const lost: string[] = []
  const feed = new SharedFeed({
    register: fleet.fleet.workers,
    tokens: tokens(secret),
    interest: () => ({ queues, session }),
    direct: () => new ChangeFeed(fleet.database, { scope: 'work' }),
    boot: randomUUID(),
    listens,
    lookMs: 200,
    // A busy machine is not a feeder that does not answer.
    patienceMs: 15_000,
    log: silent,
  })
  feed.subscribe({ change: (change) => changes.push(change), lost: (reason) => lost.push(reason) })
  fleet.cleanup(() => feed.stop())
  await feed.start()
  const of = (id: unknown): Change[] => changes.filter((change) => String(change.id) === String(id))
  return { feed, changes, lost, of }
}

describe('a shared feed', () => {
  test('has its own stream while there is no feeder, goes over to a gateway, and comes back', async () => {
    const queue = ownQueue()
    const { feed, lost, of } = await startFeed([queue])
    expect(feed.isDirect).toBe(true)
    const host = await startHost()
    await eventually(() => !feed.isDirect)
    // A worker is no client.
    const metrics = await (await fetch(`${host.url}/metrics`)).text()
    expect(/^taskfleet_gateway_connections.* (\d+)$/m.exec(metrics)?.[1]).toBe('0')
    const before = lost.length
    const task = await fleet.post([], { queue, runAt: LATER })
    await eventually(() => of(task._id).length > 0)
    await host.stop()
    await eventually(() => feed.isDirect)
    expect(lost.length).toBeGreaterThan(before)
    const next = await fleet.post([], { queue, runAt: LATER })
    await eventually(() => of(next._id).length > 0)
    expect(feed.reportedUntil.getTime()).toBeGreaterThan(0)
  })

  test('gets what concerns its worker, without the content of tasks', async () => {
    await startHost()
    const [queue, other] = [ownQueue(), ownQueue()]
    const { feed, changes, of } = await startFeed([queue], { session: 'mine' })
    expect(feed.isDirect).toBe(false)
    const elsewhere = await fleet.post([], { queue: other, runAt: LATER })
    const waiting = await fleet.post([], { queue, runAt: LATER })
    const running = await fleet.post([], { queue: other, runAt: LATER })
    const { tasks } = fleet.fleet
    const control = { action: 'cancel', by: 'me', at: new Date() } as const
    const lease = { id: 'lease', session: 'mine' }
    const held = {
      status: 'running',
      worker: 'mine',
      lease,
      attempt: 1,
      startedAt: new Date(),
      claimedAt: new Date(),
    } as const
    await tasks.updateOne({ _id: running._id }, { $set: { ...held, control } })
    await tasks.updateOne({ _id: waiting._id }, { $set: { slot: `${queue}:1` } })
    await fleet.fleet.queues.setPaused(queue, true, 'test')
    await tasks.deleteOne({ _id: running._id })
    await eventually(() => of(running._id).some(({ doc }) => doc === null))
    expect(of(elsewhere._id)).toEqual([])
    expect(of(waiting._id).map(({ slot }) => slot)).toEqual([false, true])
    expect(of(waiting._id)[0]!.doc).toMatchObject({ _id: waiting._id, queue, attempts: [], runAt: LATER })
    expect(of(waiting._id)[0]!.doc).not.toHaveProperty('input')
    expect(of(running._id)[0]!.doc).toMatchObject({ control: { action: 'cancel' } })
    expect(changes.some(({ collection, id }) => collection === 'queues' && id === queue)).toBe(true)
    expect(fleet.fleet.gate.isReadable('tasks', of(waiting._id)[0]!.doc as never)).toBe(true)
  })

  test('gets neither claims nor progress nor ends of other workers', async () => {
    await startHost()
    const queue = ownQueue()
    const { feed, of } = await startFeed([queue])
    expect(feed.isDirect).toBe(false)
    await fleet.runner({ queue, ownStream: true })
    const task = await fleet.post([{ do: 'progress', done: 1, total: 2 }], { queue })
    await fleet.ended(task._id)
    const next = await fleet.post([], { queue, runAt: LATER })
    await eventually(() => of(next._id).length > 0)
    expect(of(task._id).every(({ doc }) => doc?.status === 'pending')).toBe(true)
  })

  test('reports a document that does not fit to every worker', async () => {
    await startHost()
    const { of } = await startFeed([ownQueue()])
    const _id = randomUUID()
    await fleet.database.db.collection<{ _id: string }>('tasks').insertOne({ _id, queue: 7 } as never)
    await eventually(() => of(_id).length > 0)
  })

  test('has a stream of its own while a listener wants everything', async () => {
    await startHost()
    const { feed, of } = await startFeed([ownQueue()])
    expect(feed.isDirect).toBe(false)
    const release = await feed.widen('all')
    expect(feed.isDirect).toBe(true)
    const task = await fleet.post([], { queue: ownQueue(), runAt: LATER })
    await eventually(() => of(task._id).length > 0)
    release()
  })

  test('is direct in the two processes that listen and have lived longest; others use those', async () => {
    const [first, second] = [
      await fleet.runner({ queue: ownQueue(), listen: LOOPBACK }),
      await fleet.runner({ queue: ownQueue(), listen: LOOPBACK }),
    ]
    expect([first.url, second.url]).not.toContain(undefined)
    expect((await startFeed([ownQueue()], { listens: true })).feed.isDirect).toBe(false)
    expect((await startFeed([ownQueue()])).feed.isDirect).toBe(false)
    await first.stop({ grace: 0 })
    await second.stop({ grace: 0 })
    expect((await startFeed([ownQueue()])).feed.isDirect).toBe(true)
  })

  test('has a stream of its own where its secret is another than the gateway’s', async () => {
    await startHost('a secret of the gateway which is long enough')
    expect((await startFeed([ownQueue()])).feed.isDirect).toBe(true)
    expect((await startFeed([ownQueue()], { secret: 'another secret which is long enough too' })).feed.isDirect).toBe(
      true,
    )
    const same = await startFeed([ownQueue()], { secret: 'a secret of the gateway which is long enough' })
    expect(same.feed.isDirect).toBe(false)
  })
})

test('a feeder admits no one without a token, and takes no nonsense', async () => {
  const host = await startHost()
  const token = await tokens().issue()
  const interest = { queues: [], session: 'x' }
  const code = async (auth: object): Promise<string | undefined> => {
    const socket = io(`${host.url}${FEED_NAMESPACE}`, {
      auth,
      transports: ['websocket'],
      reconnection: false,
      forceNew: true,
    })
    fleet.cleanup(() => socket.disconnect())
    return (await refusal(socket))?.data?.code
  }
  const [id, time, mac] = token.split('.') as [string, string, string]
  expect(await code({ interest })).toBe('UNAUTHENTICATED')
  expect(await code({ token: `${id}.${Number(time) + 1}.${mac}`, interest })).toBe('UNAUTHENTICATED')
  expect(await code({ token: `${id}.${time}.${'A'.repeat(43)}`, interest })).toBe('UNAUTHENTICATED')
  expect(await code({ token: `other.${time}.${mac}`, interest })).toBe('SECRET_MISMATCH')
  expect(await code({ token })).toBe('BAD_REQUEST')
  expect(await code({ token, interest: { queues: [7], session: 'x' } })).toBe('BAD_REQUEST')
  expect(await code({ token, interest })).toBeUndefined()
})

describe('a feeder that lies', () => {
  /** Says whatever a test lets it, in the place of the fleet's only gateway. */
  async function startLiar(): Promise<{
    say: (change: Change) => void
    send: (bytes: unknown) => void
    subscribed: () => boolean
  }> {
    const http = createServer()
    const server = new Server(http, { transports: ['websocket'] })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const feed = server.of(FEED_NAMESPACE)
    const beat = (): boolean => feed.emit('beat', { until: Date.now(), lagMs: 0 })
    feed.on('connection', () => beat())
    const timer = setInterval(beat, 300)
    fleet.cleanup(async () => {
      clearInterval(timer)
      await server.close()
    })
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
    await fleet.fleet.workers.beat(`liar-${randomUUID()}`, {
      ...{ boot: 'liar', leaseMs: 600_000, heartbeatMs: 200_000, name: 'liar', host: 'liar', pid: 1, role: 'gateway' },
      ...{
        url,
        state: 'running',
        queues: [],
        tasks: [],
        slots: 0,
        running: 0,
        version: '0.1.0',
        load: new LoadMeter().read(),
        gate: undefined,
      },
    } as never)
    return {
      say: (change) => void feed.emit('changes', Buffer.from(encodeChange(change))),
      send: (bytes) => void feed.emit('changes', bytes),
      subscribed: () => feed.sockets.size > 0,
    }
  }

  test('can neither cancel nor take away what runs, nor keep what waits for longer than the poll', async () => {
    const { say, subscribed } = await startLiar()
    const queue = ownQueue()
    let letEnd = (): void => undefined
    const mayEnd = new Promise<void>((resolve) => {
      letEnd = resolve
    })
    const held = defineTask({
      name: 'held',
      input: z.object({}),
      run: async ({ signal }) => {
        await Promise.race([mayEnd, once(signal, 'abort')])
        signal.throwIfAborted()
        return 'whole'
      },
    })
    const runner = await fleet.runner({ queue, pollMs: 400, tasks: [held, scriptedTask()] })
    expect(subscribed()).toBe(true)
    const task = await fleet.fleet.enqueue(held, {}, { queue })
    const running = await fleet.until(task._id, ({ status }) => status === 'running')
    const id = running._id
    const control = { action: 'cancel', by: 'a liar', at: new Date() }
    say({ collection: 'tasks', id, doc: { ...running, control, rev: running.rev + 5 } })
    say({ collection: 'tasks', id, doc: { ...running, status: 'pending', lease: undefined, rev: running.rev + 9 } })
    say({ collection: 'tasks', id, doc: null })
    const worker = (await fleet.fleet.workers.find(runner.id))!
    say({ collection: 'workers', id: runner.id, doc: { ...worker, state: 'dead' } })
    say({ collection: 'workers', id: runner.id, doc: { ...worker, control: { ...control, action: 'drain' } } })
    say({ collection: 'tasks', id: 'none', doc: { ...running, _id: randomUUID() as never, status: 'pending' } })
    // Each of these is found by a poll. The lies must not have done anything by then.
    for (const value of [1, 2, 3]) {
      const found = await fleet.post([{ do: 'return', value }], { queue })
      expect(await fleet.ended(found._id)).toMatchObject({ status: 'completed' })
    }
    letEnd()
    expect(await fleet.ended(id)).toMatchObject({ status: 'completed', attempt: 1, lost: 0, failures: 0 })
    // It takes on work, which only the poll has found, and obeys a cancel, which only the poll has found.
    const next = await fleet.post([{ do: 'waitForAbort' }], { queue })
    await fleet.until(next._id, ({ status }) => status === 'running')
    await fleet.fleet.as().tasks.cancel({ id: next._id.toHexString() })
    expect(await fleet.ended(next._id)).toMatchObject({ status: 'cancelled', attempt: 1 })
  })
  test('can not cancel what is claimed just now, and whose claim is not answered yet', async () => {
    const { say } = await startLiar()
    const relay = new ReplyRelay(fleet.uri)
    fleet.cleanup(() => relay.stop())
    const queue = ownQueue()
    await fleet.runner({ queue, mongo: await relay.start(fleet.uri), pollMs: 600_000 })
    const task = await fleet.post([{ do: 'sleep', ms: 500 }], { queue })
    relay.stall('answered')
    say({ collection: 'tasks', id: task._id, doc: task })
    const running = await fleet.until(task._id, ({ status }) => status === 'running')
    say({
      collection: 'tasks',
      id: task._id,
      doc: { ...running, control: { action: 'cancel', by: 'x', at: new Date() } },
    })
    relay.heal()
    expect(await fleet.ended(task._id)).toMatchObject({ status: 'completed', attempt: 1 })
  })

  test('is left when what it sends cannot be read', async () => {
    const queue = ownQueue()
    for (const nonsense of [Buffer.from('nonsense'), Buffer.alloc(4), 'a text', 7, null]) {
      const { send, subscribed } = await startLiar()
      const { feed } = await startFeed([queue])
      expect(subscribed()).toBe(true)
      send(nonsense)
      await eventually(() => feed.isDirect)
      await fleet.database.db.collection('workers').deleteMany({})
    }
  })
})
