import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FleetClient, TasksWatch, WatchSource } from '@taskfleet/client'
import { KeyStore, type TaskDocument } from '@taskfleet/core'
import type { TaskEnd } from '@taskfleet/protocol'
import { LOOPBACK, ownQueue, startGateway, startProxy } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { defineTask, type TaskRunner, type TaskRunnerOptions } from '@taskfleet/worker'
import { Server } from 'socket.io'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'

/** Reports progress ten times a second until a message ends it. A next attempt goes on from the checkpoint. */
const moving = defineTask({
  name: 'moving',
  input: z.object({ n: z.number() }),
  retry: { maxAttempts: 9, backoff: { base: 10, jitter: false } },
  async run({ input, progress, checkpoint, log, socket, signal, task }) {
    const begun = ((checkpoint.state as { done?: number } | undefined)?.done ?? 0) + 1_000
    await checkpoint.save({ done: begun })
    log.info(`task ${input.n}, attempt ${task.attempt}`)
    let output: unknown
    socket.on('finish', (given) => {
      output = given ?? 'finished'
    })
    for (let done = begun; output === undefined; done += 1) {
      progress({ done, total: 1_000_000 })
      await sleep(100, undefined, { signal })
    }
    return output
  },
})

interface Seen {
  watch: TasksWatch
  done: Map<string, number>
  lines: Map<string, string[]>
  ends: Map<string, TaskEnd[]>
  sources: Map<string, WatchSource[]>
}

const add = <T>(map: Map<string, T[]>, id: string, one: T) => map.set(id, [...(map.get(id) ?? []), one])

describe('watchTasks', () => {
  const fleet = useFleet()

  const host = (name: string, queue: string, over: Partial<TaskRunnerOptions> = {}): Promise<TaskRunner> =>
    fleet.runner({ queue, name, listen: LOOPBACK, tasks: [moving], concurrency: 20, ...over })

  const post = async (queue: string, count: number): Promise<string[]> => {
    const tasks: TaskDocument[] = []
    for (let n = 0; n < count; n += 1) tasks.push(await fleet.fleet.enqueue(moving, { n }, { queue }))
    return tasks.map(({ _id }) => _id.toHexString())
  }

  async function watch(client: FleetClient, tasks: Parameters<FleetClient['watchTasks']>[0], { logs = false } = {}) {
    const seen: Omit<Seen, 'watch'> = { done: new Map(), lines: new Map(), ends: new Map(), sources: new Map() }
    const watching = await client.watchTasks(tasks, {
      onProgress: (id, { done = 0 }) => seen.done.set(id, done),
      ...(logs ? { onLog: (id, { message }) => add(seen.lines, id, message) } : {}),
      onEnd: (id, end) => add(seen.ends, id, end),
      onSource: (id, source) => add(seen.sources, id, source),
    })
    fleet.cleanup(() => watching.close())
    return { ...seen, watch: watching } satisfies Seen
  }

  const state = ({ watch }: Seen, id: string): string => watch.sources.get(id)?.state ?? 'none'
  const allLive = (seen: Seen, ids: readonly string[]): Promise<true> =>
    eventually(() => ids.every((id) => state(seen, id) === 'live')) as Promise<true>

  async function allMove(seen: Seen, ids: readonly string[]): Promise<void> {
    const before = new Map(seen.done)
    await eventually(() => ids.every((id) => (seen.done.get(id) ?? 0) > (before.get(id) ?? 0)))
  }

  /** How many clients are connected there. */
  async function connections(url: string): Promise<number> {
    const text = await (await fetch(`${url}/metrics`)).text()
    return Number(/^taskfleet_gateway_connections(?:\{.*\})? (\d+)/m.exec(text)?.[1])
  }

  test('thirty tasks on three hosts are live over one connection to each, for all watchers together', async () => {
    const queues = [ownQueue(), ownQueue(), ownQueue()]
    const hosts = await Promise.all(queues.map((queue, at) => host(`host-${at}`, queue)))
    const gateway = await startGateway(fleet)
    const client = fleet.client(gateway.url!)
    const ids = (await Promise.all(queues.map((queue) => post(queue, 10)))).flat()
    const seen = await watch(client, ids)
    await allLive(seen, ids)
    await allMove(seen, ids)
    for (const id of ids) expect(seen.watch.sources.get(id)).toMatchObject({ state: 'live', via: 'direct' })
    // Further watchers need no further connection, whichever way they ask. Lines come only to those who want them.
    const lines: string[] = []
    const single = await client.watchTask(ids[0]!, { onLog: ({ message }) => lines.push(message) })
    const byQuery = await watch(client, { filter: { queue: queues[1]!, status: 'running' } })
    await allLive(byQuery, ids.slice(10, 20))
    await eventually(() => single.source.state === 'live' && lines.length === 1)
    expect(lines).toEqual(['task 0, attempt 1'])
    expect(seen.lines.size).toBe(0)
    // A worker that is only now accepted as one that gets changes counts for a moment.
    for (const { url } of hosts) await eventually(async () => (await connections(url!)) === 1)
    expect(gateway.load.connections).toBe(1)
    expect(await seen.watch.message(ids[3]!, 'finish', { total: 3 })).toBeUndefined()
    await eventually(() => seen.ends.has(ids[3]!))
    expect(seen.ends.get(ids[3]!)).toEqual([{ status: 'completed', output: { total: 3 } }])
    await expect(seen.watch.message('f'.repeat(24), 'finish')).rejects.toMatchObject({ code: 'NOT_CONNECTED' })
    // A connection ends with the last watcher of its host.
    seen.watch.close()
    single.close()
    byQuery.watch.close()
    for (const { url } of hosts) await eventually(async () => (await connections(url!)) === 0)
  })

  test('through the gateway nothing is opened but its own connection', async () => {
    const queues = [ownQueue(), ownQueue()]
    const hosts = await Promise.all(queues.map((queue, at) => host(`relayed-${at}`, queue)))
    const gateway = await startGateway(fleet)
    const client = fleet.client(gateway.url!, { reach: 'relay' })
    const ids = (await Promise.all(queues.map((queue) => post(queue, 5)))).flat()
    const seen = await watch(client, ids, { logs: true })
    await allLive(seen, ids)
    await allMove(seen, ids)
    for (const id of ids) expect(seen.watch.sources.get(id)).toMatchObject({ via: 'relay' })
    expect(gateway.load.connections).toBe(1)
    // A worker that is only now accepted as one that gets changes counts for a moment.
    for (const { url } of hosts) await eventually(async () => (await connections(url!)) === 1)
    expect(ids.map((id) => seen.lines.get(id)?.length)).toEqual(ids.map(() => 1))
  })

  test('of three hosts one is lost: the others go on, its tasks say so and move to another host', async () => {
    const queues = [ownQueue(), ownQueue(), ownQueue()]
    const hosts = await Promise.all(queues.slice(0, 2).map((queue, at) => host(`stays-${at}`, queue)))
    const target = await freePort()
    const proxy = await startProxy(fleet, `http://127.0.0.1:${target}`)
    const lost = await host('lost', queues[2]!, { listen: { host: '127.0.0.1', port: target }, publicUrl: proxy.url })
    hosts.push(lost)
    const gateway = await startGateway(fleet)
    const ids = (await Promise.all(queues.map((queue) => post(queue, 5)))).flat()
    const seen = await watch(fleet.client(gateway.url!), ids)
    await allLive(seen, ids)
    const before = new Map([...seen.sources].map(([id, sources]) => [id, sources.length]))
    proxy.refuse()
    const [staying, losing] = [ids.slice(0, 10), ids.slice(10)]
    await eventually(() => losing.every((id) => state(seen, id) === 'unreachable'))
    // Meanwhile the stored progress moves.
    await allMove(seen, ids)
    for (const id of staying) expect(seen.sources.get(id)).toHaveLength(before.get(id)!)
    await lost.stop({ grace: 0 })
    const next = await host('next', queues[2]!)
    await allLive(seen, losing)
    for (const id of losing) {
      expect(seen.watch.sources.get(id)).toMatchObject({ publicUrl: `${next.url}/tasks/${id}` })
      await eventually(() => seen.done.get(id)! >= 2_000)
    }
    for (const id of staying) expect(seen.sources.get(id)).toHaveLength(before.get(id)!)
  })

  test('tasks of a worker that does not listen move as they are stored, and are said to be', async () => {
    const queue = ownQueue()
    const gateway = await startGateway(fleet)
    await fleet.runner({ queue, name: 'quiet', tasks: [moving], concurrency: 5 })
    const ids = await post(queue, 3)
    const seen = await watch(fleet.client(gateway.url!), ids)
    await eventually(() => ids.every((id) => state(seen, id) === 'stored'))
    await allMove(seen, ids)
    for (const id of ids) expect(seen.sources.get(id)?.map((source) => source.state)).not.toContain('unreachable')
    expect(gateway.load.namespaces).toBeLessThan(4)
  })

  test('a query brings its tasks as they come and go, each with its end', async () => {
    const queue = ownQueue()
    await host('only', queue)
    const gateway = await startGateway(fleet)
    const client = fleet.client(gateway.url!)
    const seen = await watch(client, { filter: { queue, status: 'running' }, fields: ['name'] })
    expect(seen.watch.sources.size).toBe(0)
    const ids = await post(queue, 3)
    await allLive(seen, ids)
    // A handler that reports progress also listens.
    await allMove(seen, ids)
    await seen.watch.message(ids[1]!, 'finish', 'by message')
    await eventually(() => seen.ends.has(ids[1]!) && seen.watch.sources.size === 2)
    expect(seen.ends.get(ids[1]!)).toEqual([{ status: 'completed', output: 'by message' }])
    await client.tasks.pause(ids[2]!)
    await eventually(() => seen.watch.sources.size === 1)
    await client.tasks.resume(ids[2]!)
    await allLive(seen, [ids[0]!, ids[2]!])
    await allMove(seen, [ids[0]!, ids[2]!])
    expect(seen.ends.has(ids[2]!)).toBe(false)
    await expect(client.watchTasks({ filter: { $where: '1' } }, {})).rejects.toMatchObject({ code: 'BAD_FILTER' })
    await expect(client.watchTasks(['x'], {})).rejects.toMatchObject({ code: 'BAD_VALUE' })
  })

  test('followed by rows of the caller, a task needs no query', async () => {
    const queue = ownQueue()
    await host('followed', queue)
    const gateway = await startGateway(fleet)
    const client = fleet.client(gateway.url!)
    const [id] = (await post(queue, 1)) as [string]
    let done = 0
    const followed = client.followTask(id, { onProgress: (progress) => (done = progress.done ?? 0) })
    await client.subscribe({ filter: { queue } }, ([row]) => followed.update(row))
    await eventually(() => followed.source.state === 'live' && done > 1_000)
    expect(gateway.load.subscriptions).toBe(1)
    followed.close()
  })

  test.each(['gateway', 'host'])('a %s of an earlier version: each task has a socket of its own', async (old) => {
    const ids = ['a', 'b', 'c'].map((letter) => letter.repeat(24))
    const worker = '0a0a0a0a-1111-4222-8333-0123456789ab'
    const http = createServer()
    const io = new Server(http, { transports: ['websocket'] })
    fleet.cleanup(() => io.close())
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
    io.on('connection', (socket) => {
      socket.on('subscribeQuery', (_request, ack) => {
        const common = { name: 'x', status: 'running', attempt: 1, worker, rev: 1 }
        const rows = ids.map((id) => ({ ...common, _id: id, publicUrl: `${url}/tasks/${id}` }))
        ack({ ok: true, subscription: 's', epoch: 'e', seq: 0, rows })
      })
      socket.on('hostTicket', (_request, ack) =>
        ack(
          old === 'host'
            ? { ok: true, worker, url: `${url}/hosts/${worker}`, relayUrl: `${url}/relay/hosts/${worker}`, token: 't' }
            : { ok: false, error: { code: 'BAD_REQUEST', message: "There is no message 'hostTicket'" } },
        ),
      )
      socket.on('taskTicket', ({ id }, ack) =>
        ack({ ok: true, publicUrl: `${url}/tasks/${id}`, relayUrl: `${url}/relay/${id}`, token: id }),
      )
    })
    io.of(/^\/tasks\//).on('connection', (socket) => {
      const id = socket.nsp.name.slice('/tasks/'.length)
      socket.emit('snapshot', { task: {}, progress: { done: 5, at: '2027-01-01T00:00:00.000Z' }, log: [] })
      socket.on('message', ({ name }, ack) => ack({ ok: true, data: `${name} of ${id}` }))
    })
    const seen = await watch(fleet.client(url), ids)
    await allLive(seen, ids)
    await eventually(() => ids.every((id) => seen.done.get(id) === 5))
    expect(await seen.watch.message(ids[1]!, 'echo')).toBe(`echo of ${ids[1]}`)
  })

  test.each([['javascript:alert(1)'], ['http://user:secret@127.0.0.1:PORT/hosts/WORKER']])(
    'never connects to a host at %s, whatever the gateway sends',
    async (address) => {
      let hits = 0
      const trap = createServer().on('connection', () => (hits += 1))
      await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve))
      fleet.cleanup(() => void trap.close())
      const worker = '0a0a0a0a-1111-4222-8333-0123456789ab'
      const lie = address.replace('PORT', String((trap.address() as AddressInfo).port)).replace('WORKER', worker)
      const http = createServer()
      const io = new Server(http, { transports: ['websocket'] })
      fleet.cleanup(() => io.close())
      await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
      const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
      const id = 'a'.repeat(24)
      io.on('connection', (socket) => {
        socket.on('subscribeQuery', (_request, ack) => {
          const row = { _id: id, name: 'x', status: 'running', attempt: 1, worker, publicUrl: lie, rev: 1 }
          ack({ ok: true, subscription: 's', epoch: 'e', seq: 0, rows: [row] })
        })
        socket.on('hostTicket', (_request, ack) => ack({ ok: true, worker, url: lie, relayUrl: lie, token: 't' }))
      })
      const tried: string[] = []
      io.of(/hosts/).use((socket, next) => {
        tried.push(socket.nsp.name)
        next(new Error('no'))
      })
      const seen = await watch(fleet.client(url), [id])
      await eventually(() => state(seen, id) === 'unreachable')
      expect(tried[0]).toBe(`/relay/hosts/${worker}`)
      expect(hits).toBe(0)
    },
  )
})

const freePort = async (): Promise<number> => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

describe('watchTasks of a locked fleet', () => {
  const fleet = useFleet()

  test('has only what the key may read, and ends when it may no longer', async () => {
    const keys = new KeyStore(fleet.database.db)
    const [mine, theirs] = [ownQueue(), ownQueue()]
    await keys.create({ name: 'all', scopes: ['admin'] })
    const { token, id: key } = await keys.create({ name: 'mine', scopes: ['read'], queues: [mine] })
    await fleet.runner({ queues: [mine, theirs], tasks: [moving], listen: LOOPBACK, concurrency: 4 })
    const [own, foreign] = [
      await fleet.fleet.enqueue(moving, { n: 1 }, { queue: mine }),
      await fleet.fleet.enqueue(moving, { n: 2 }, { queue: theirs }),
    ]
    for (const { _id } of [own, foreign]) await fleet.until(_id, ({ status }) => status === 'running')
    const gateway = await startGateway(fleet)
    const client = fleet.client(gateway.url!, { token })
    const ids = [own, foreign].map(({ _id }) => _id.toHexString()) as [string, string]
    const done = new Map<string, number>()
    const watch = await client.watchTasks(ids, { onProgress: (id, progress) => done.set(id, progress.done ?? 0) })
    await eventually(() => watch.sources.get(ids[0])?.state === 'live' && done.has(ids[0]))
    expect(watch.sources.get(ids[1])).toEqual({ state: 'ended' })
    // A row that somebody invents opens nothing: the host decides.
    const row = (await fleet.database.db.collection('tasks').findOne({ _id: foreign._id })) as {
      publicUrl?: string
      worker?: string
    } | null
    const forged = client.followTask(ids[1], { onProgress: () => done.set(ids[1], 1) })
    forged.update({
      _id: ids[1],
      name: 'moving',
      status: 'running',
      attempt: 1,
      rev: 1,
      worker: row?.worker,
      publicUrl: row?.publicUrl,
    } as never)
    await eventually(() => forged.source.state === 'unreachable')
    expect(forged.source).toMatchObject({ reason: expect.stringContaining('may not use the queue') })
    expect(done.has(ids[1])).toBe(false)
    expect(watch.sources.get(ids[0])?.state).toBe('live')
    await keys.revoke(key)
    await eventually(() => client.state === 'refused' && watch.sources.get(ids[0])?.state !== 'live')
  })
})
