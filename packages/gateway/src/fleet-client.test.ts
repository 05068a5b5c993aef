import { createServer } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import type { ConnectionState, LiveQuery, RowsReason, WatchSource } from '@taskfleet/client'
import { KeyStore } from '@taskfleet/core'
import { toRow } from '@taskfleet/core/internal'
import type { TaskEnd, TaskRow } from '@taskfleet/protocol'
import { scriptedInput } from '@taskfleet/testkit/fleet/scripted-task'
import { LOOPBACK, ownQueue, startGateway, startProxy } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { defineTask } from '@taskfleet/worker'
import { Server } from 'socket.io'
import { describe, expect, test } from 'vitest'

/** Continues to count from its checkpoint and ends when the test ends it. */
const counting = defineTask({
  name: 'counting',
  input: scriptedInput,
  async run({ task, progress, checkpoint, log, socket, signal }) {
    const done = ((checkpoint.state as { done?: number } | undefined)?.done ?? 0) + 10
    const finish = new Promise<unknown>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
      socket.on('finish', resolve)
    })
    progress({ done, total: 100 })
    log.info(`attempt ${task.attempt}`)
    await checkpoint.save({ done })
    return finish
  },
})

describe('FleetClient', () => {
  const fleet = useFleet()

  const atRest = async (queue: string): Promise<TaskRow[]> => {
    const docs = await fleet.database.db.collection('tasks').find({ queue }).sort({ _id: 1 }).toArray()
    return docs.map((doc) => toRow<TaskRow>('tasks', doc))
  }

  test('keeps correct rows through commands, closed subscriptions and other queries', async () => {
    const queue = ownQueue()
    const gateway = await startGateway(fleet, { lingerMs: 0 })
    const client = fleet.client(gateway.url!)
    const states: ConnectionState[] = []
    const forget = client.onState((state) => states.push(state))
    const query = { filter: { queue }, sort: { _id: 1 } } as const
    const heard: RowsReason[] = []
    const live = await client.subscribe(query, (_rows, _delta, reason) => heard.push(reason))
    const twin = await client.subscribe(query, () => undefined)
    expect([live.live, live.rows, heard]).toEqual([true, [], ['snapshot']])
    const row = await client.enqueue({ name: 'scripted', queue, input: { steps: [] } })
    await eventually(() => live.rows.length === 1)
    await client.cancel({ id: row._id })
    await eventually(() => live.rows[0]?.status === 'cancelled')
    expect(live.rows).toEqual(await atRest(queue))
    await twin.close()
    await twin.close()
    await client.enqueue({ name: 'scripted', queue, input: { steps: [] } })
    await eventually(() => live.rows.length === 2)
    expect(twin.rows).toHaveLength(1)
    expect(heard.filter((reason) => reason !== 'delta')).toEqual(['snapshot'])
    expect(states).toEqual(['connecting', 'live'])
    forget()
    await live.close()
    await eventually(() => gateway.load.rooms === 0 && gateway.load.views === 0)
    await expect(client.subscribe({ filter: { $where: 'x' } }, () => undefined)).rejects.toMatchObject({
      code: 'BAD_FILTER',
    })
    await expect(client.enqueue({ name: '../x' })).rejects.toMatchObject({ code: 'BAD_NAME', field: 'name' })
    client.close()
    expect([client.state, states]).toEqual(['closed', ['connecting', 'live']])
    await expect(client.enqueue({ name: 'x' })).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test('continues where it was after a lost connection, repeatedly', async () => {
    const queue = ownQueue()
    const gateway = await startGateway(fleet)
    const proxy = await startProxy(fleet, gateway.url!)
    const client = fleet.client(proxy.url)
    const reasons: RowsReason[] = []
    const states: ConnectionState[] = []
    client.onState((state) => states.push(state))
    const live = await client.subscribe({ filter: { queue }, sort: { _id: 1 } }, (_rows, _delta, reason) =>
      reasons.push(reason),
    )
    for (let round = 0; round < 3; round += 1) {
      const seen = states.length
      proxy.cut()
      await fleet.post([], { queue })
      await eventually(() => states.slice(seen).join() === 'reconnecting,live')
      await fleet.post([], { queue })
      await eventually(() => live.rows.length === (round + 1) * 2)
    }
    expect(live.rows).toEqual(await atRest(queue))
    expect(live.live).toBe(true)
    expect(new Set(reasons)).toEqual(new Set(['snapshot', 'delta']))
  })

  test('subscribes again when its gateway is gone', async () => {
    const queue = ownQueue()
    const first = await startGateway(fleet)
    const port = Number(new URL(first.url!).port)
    const client = fleet.client(first.url!)
    const reasons: RowsReason[] = []
    const live = await client.subscribe({ filter: { queue }, sort: { _id: 1 } }, (_rows, _delta, reason) =>
      reasons.push(reason),
    )
    await first.stop()
    await eventually(() => client.state === 'reconnecting')
    await fleet.post([], { queue })
    await startGateway(fleet, { listen: { host: '127.0.0.1', port } })
    await eventually(() => live.rows.length === 1)
    expect(reasons).toEqual(['snapshot', 'resync'])
    expect(live.rows).toEqual(await atRest(queue))
  })

  test('ends with the right rows in any order of answers and deltas', async () => {
    const queue = ownQueue()
    const gateway = await startGateway(fleet, { lingerMs: 0 })
    const client = fleet.client(gateway.url!)
    const query = { filter: { queue }, sort: { _id: 1 } } as const
    const posting = (async () => {
      for (let count = 0; count < 30; count += 1) await fleet.post([], { queue })
    })()
    // Opened one after the other while tasks come in, so that some answers travel together with the next delta.
    const lives: LiveQuery<'tasks'>[] = []
    for (let count = 0; count < 15; count += 1) lives.push(await client.subscribe(query, () => undefined))
    await posting
    const wanted = await atRest(queue)
    await eventually(() => lives.every(({ rows }) => isDeepStrictEqual(rows, wanted)))
  })

  test('follows a task from one worker to the next and gets its end once', async () => {
    const queue = ownQueue()
    const a = await fleet.runner({ queue, listen: LOOPBACK, tasks: [counting], name: 'a' })
    const gateway = await startGateway(fleet)
    const client = fleet.client(gateway.url!)
    const task = await fleet.fleet.enqueue(counting, { steps: [] }, { queue })
    const heard = {
      done: [] as (number | undefined)[],
      log: [] as string[],
      ends: [] as TaskEnd[],
      sources: [] as WatchSource[],
    }
    const watch = await client.watchTask(task._id.toHexString(), {
      onProgress: ({ done }) => heard.done.push(done),
      onLog: ({ message }) => heard.log.push(message),
      onEnd: (end) => heard.ends.push(end),
      onSource: (source) => heard.sources.push(source),
    })
    await eventually(() => watch.source.state === 'live' && heard.log.length === 1 && heard.done.includes(10))
    expect(watch.source).toMatchObject({ via: 'direct', publicUrl: `${a.url}/tasks/${task._id.toHexString()}` })
    await fleet.until(task._id, ({ checkpoint }) => checkpoint !== undefined)
    await a.stop({ grace: 0 })
    await eventually(() => watch.source.state === 'waiting')
    const b = await fleet.runner({ queue, listen: LOOPBACK, tasks: [counting], name: 'b' })
    await eventually(() => watch.source.state === 'live' && heard.done.includes(20))
    expect(watch.source).toMatchObject({ publicUrl: `${b.url}/tasks/${task._id.toHexString()}` })
    expect(await watch.message('finish', { total: 20 })).toBeUndefined()
    await eventually(() => heard.ends.length > 0 && watch.source.state === 'ended')
    await fleet.ended(task._id)
    expect(heard.ends).toEqual([{ status: 'completed', output: { total: 20 } }])
    expect(heard.log).toEqual(['attempt 1', 'attempt 2'])
    expect(heard.sources.map(({ state }) => state)).not.toContain('unreachable')
    await expect(watch.message('finish')).rejects.toMatchObject({ code: 'NOT_CONNECTED' })
    watch.close()
    const late: TaskEnd[] = []
    await client.watchTask(task._id.toHexString(), { onEnd: (end) => late.push(end) })
    await eventually(() => late.length > 0)
    expect(late).toEqual([{ status: 'completed', output: { total: 20 } }])
  })

  test("goes by the relay where a worker can't be reached straight, and says so where neither way works", async () => {
    const queue = ownQueue()
    const closed = await startProxy(fleet, 'http://127.0.0.1:1')
    closed.refuse()
    const runner = await fleet.runner({ queue, listen: LOOPBACK, tasks: [counting], publicUrl: closed.url })
    const gateway = await startGateway(fleet)
    const task = await fleet.fleet.enqueue(counting, { steps: [] }, { queue })
    const id = task._id.toHexString()
    await eventually(() => runner.attempt(id))
    const [near, far] = [fleet.client(runner.url!, { reach: 'relay' }), fleet.client(gateway.url!)]
    // At the host's own gateway, its tasks come over the connection that is open already.
    const own = await fleet.client(runner.url!).watchTask(id, {})
    await eventually(() => own.source.state === 'live')
    expect(own.source).toEqual({ state: 'live', via: 'direct', publicUrl: `${closed.url}/tasks/${id}` })
    const log: string[] = []
    const relayed = await near.watchTask(id, { onLog: ({ message }) => log.push(message) })
    await eventually(() => relayed.source.state === 'live')
    expect(relayed.source).toEqual({ state: 'live', via: 'relay', publicUrl: `${closed.url}/tasks/${id}` })
    await eventually(() => log.length === 1)
    const rows: TaskRow[] = []
    const cut = await far.watchTask(id, { onTask: (row) => rows.push(row) })
    await eventually(() => cut.source.state === 'unreachable')
    expect(cut.source).toMatchObject({ publicUrl: `${closed.url}/tasks/${id}` })
    await eventually(() => rows.at(-1)?.progress?.done === 10)
    await relayed.cancel('enough')
    await eventually(() => cut.source.state === 'ended' && relayed.source.state === 'ended')
    expect((await fleet.ended(task._id)).status).toBe('cancelled')
  })

  test('reconnects to the same attempt without repeating the log', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, listen: LOOPBACK, tasks: [counting] })
    const proxy = await startProxy(fleet, runner.url!)
    const client = fleet.client(proxy.url, { reach: 'relay' })
    const task = await fleet.fleet.enqueue(counting, { steps: [] }, { queue })
    const log: string[] = []
    const sources: string[] = []
    const watch = await client.watchTask(task._id.toHexString(), {
      onLog: ({ message }) => log.push(message),
      onSource: ({ state }) => sources.push(state),
    })
    await eventually(() => watch.source.state === 'live' && log.length === 1)
    expect(watch.source).toMatchObject({ via: 'relay' })
    const seen = sources.length
    proxy.cut()
    await eventually(() => sources.slice(seen).includes('live'))
    // The task may end before its answer has left, so that the end and not the answer says that the message came.
    await eventually(async () => {
      void watch.message('finish', 1).catch(() => undefined)
      return (await fleet.fleet.store.find(task._id))?.status === 'completed'
    })
    expect(log).toEqual(['attempt 1'])
  })

  test.each([
    ['javascript:alert(1)'],
    ['http://user:secret@127.0.0.1:PORT/tasks/ID'],
    ['//127.0.0.1:PORT/tasks/ID'],
    ['file:///etc/passwd'],
  ])('never connects to %s, whatever the gateway sends', async (publicUrl) => {
    const id = 'a'.repeat(24)
    let hits = 0
    const trap = createServer((_request, response) => response.end()).on('connection', () => (hits += 1))
    await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve))
    const { port } = trap.address() as { port: number }
    const lie = publicUrl.replace('PORT', String(port)).replace('ID', id)
    const http = createServer()
    const io = new Server(http, { transports: ['websocket'] })
    fleet.cleanup(async () => {
      await io.close()
      trap.close()
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(http.address() as { port: number }).port}`
    io.on('connection', (socket) => {
      socket.on('subscribeQuery', (_request, ack) => {
        const row = { _id: id, name: 'x', status: 'running', attempt: 1, publicUrl: lie, rev: 1 }
        ack({ ok: true, subscription: 's', epoch: 'e', seq: 0, rows: [row] })
      })
      socket.on('taskTicket', (_request, ack) =>
        ack({ ok: true, publicUrl: lie, relayUrl: `${url}/relay/${id}`, token: 't' }),
      )
    })
    const tried: string[] = []
    io.of(/.*/).use((socket, next) => {
      tried.push(socket.nsp.name)
      next(new Error('no'))
    })
    const watch = await fleet.client(url).watchTask(id, {})
    await eventually(() => watch.source.state === 'unreachable')
    expect(tried).toEqual([`/relay/${id}`])
    expect(hits).toBe(0)
  })
})

describe('FleetClient of a locked fleet', () => {
  const fleet = useFleet()

  test('is refused without a valid key and reports the reason at once', async () => {
    const keys = new KeyStore(fleet.database.db)
    const { id, token } = await keys.create({ name: 'all', scopes: ['admin'] })
    const gateway = await startGateway(fleet, { keyCheckMs: 50 })
    for (const bad of [undefined, 'wrong']) {
      const client = fleet.client(gateway.url!, bad === undefined ? {} : { token: bad })
      const errors: unknown[] = []
      client.onState((state, error) => state === 'refused' && errors.push(error))
      await expect(client.subscribe({}, () => undefined)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
      expect(client.state).toBe('refused')
      expect(errors).toMatchObject([{ code: 'UNAUTHENTICATED' }])
      await expect(client.enqueue({ name: 'x' })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    }
    const client = fleet.client(gateway.url!, { token })
    await client.subscribe({}, () => undefined)
    expect(client.welcome?.scopes).toEqual(['admin'])
    expect(Math.abs(client.clockOffset)).toBeLessThan(60_000)
    await keys.revoke(id)
    await eventually(() => client.state === 'refused')
  })
})
