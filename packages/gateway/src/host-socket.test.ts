import { KeyStore, type TaskDocument } from '@taskfleet/core'
import type { HostTicketAnswer, TasksProgress, WatchedEnd, WatchedTask } from '@taskfleet/protocol'
import { serverOf } from '@taskfleet/protocol/internal'
import {
  ask,
  asked,
  codeOf,
  connect,
  LOOPBACK,
  open,
  ownQueue,
  refusal,
  startGateway,
  stopReading,
} from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { defineTask, type TaskRunner } from '@taskfleet/worker'
import type { Socket as ServerSocket } from 'socket.io'
import type { Socket } from 'socket.io-client'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ACCOUNT_LIMITS } from './accounts.ts'
import { waitingBytes } from './backlog.ts'

const MIB = 1024 * 1024
const ROUNDS = 10
const MISSING = 'f'.repeat(24)

/** Its test says when it reports, logs and ends. */
const told = defineTask({
  name: 'told',
  input: z.object({ n: z.number() }),
  async run({ input, progress, log, socket, signal }) {
    const ended = new Promise<unknown>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
      socket.on('finish', (output) => resolve(output))
    })
    let done = 0
    socket.on('fill', () => {
      for (let n = 0; n < 2; n += 1) socket.emit('filled', 'e'.repeat(200_000))
    })
    socket.on('move', (pad) => {
      done += 1
      progress({ done, total: 1_000, message: String(pad ?? '') })
      log.info(`line ${done}`)
      socket.emit('moved', { done })
      return done
    })
    progress({ done: input.n, total: 1_000 })
    log.info('begun')
    return ended
  },
})

interface Heard {
  socket: Socket
  progress: Map<string, number[]>
  lines: Map<string, string[]>
  events: Map<string, unknown[]>
  ends: WatchedEnd[]
}

const noted = <T>(map: Map<string, T[]>, id: string, ...items: T[]) => map.set(id, [...(map.get(id) ?? []), ...items])

function listen(socket: Socket): Heard {
  const heard: Heard = { socket, progress: new Map(), lines: new Map(), events: new Map(), ends: [] }
  socket.on('tasksProgress', ({ tasks }: TasksProgress) => {
    for (const { id, progress } of tasks) noted(heard.progress, id, progress.done ?? 0)
  })
  socket.on('taskLines', ({ id, lines }) =>
    noted(heard.lines, id, ...lines.map((line: { message: string }) => line.message)),
  )
  socket.on('taskEvent', ({ id, name, data }) => noted(heard.events, id, [name, data]))
  socket.on('taskEnd', (end: WatchedEnd) => heard.ends.push(end))
  return heard
}

const watchAt = (socket: Socket, ids: readonly string[], wants = {}): Promise<WatchedTask[]> =>
  asked<{ tasks: WatchedTask[] }>(socket, 'watchTasks', { ids, ...wants }).then(({ tasks }) => tasks)

const idOf = (task: TaskDocument): string => task._id.toHexString()
const codes = (tasks: readonly WatchedTask[]): string[] => tasks.map(({ error }) => error?.code ?? 'watched')

describe("a host's socket", () => {
  const fleet = useFleet()

  async function host(
    count: number,
    queue = ownQueue(),
  ): Promise<{ runner: TaskRunner; ids: string[]; queue: string }> {
    const runner = await fleet.runner({ queue, listen: LOOPBACK, tasks: [told], concurrency: Math.max(1, count) })
    const tasks = await Promise.all(
      Array.from({ length: count }, (_, n) => fleet.fleet.enqueue(told, { n }, { queue })),
    )
    for (const task of tasks) await fleet.runsAt(runner, task)
    return { runner, ids: tasks.map(idOf), queue }
  }

  /** Connects to the host, as its ticket says. */
  async function at(url: string | undefined, token: string): Promise<Heard> {
    const { uri, path } = serverOf(url!)
    const socket = open(uri, token, { path })
    fleet.cleanup(() => socket.disconnect())
    const heard = listen(socket)
    const refused = await refusal(socket)
    if (refused !== undefined) throw refused
    return heard
  }

  const ticket = async (gateway: Socket, id: string): Promise<HostTicketAnswer> =>
    eventually(async () => {
      const answer = await asked<HostTicketAnswer>(gateway, 'hostTicket', { id })
      // The gateway learns the address of a new worker by its change feed.
      return answer.url !== undefined && answer
    })

  describe.each(['direct', 'relay'] as const)('%s', (way) => {
    async function watcher(runner: TaskRunner, id: string): Promise<Heard> {
      const gateway = way === 'direct' ? undefined : await startGateway(fleet)
      const given = await ticket(await connect(fleet, gateway?.url ?? runner.url!), id)
      expect(given.worker).toBe(runner.id)
      return at(way === 'direct' ? given.url : given.relayUrl, given.token)
    }

    test('one connection has the progress of many tasks; each answers, moves and ends by itself', async () => {
      const { runner, ids } = await host(5)
      const ended = await fleet.fleet.enqueue(told, { n: 0 }, { queue: 'unserved' })
      const heard = await watcher(runner, ids[0]!)
      const answers = await watchAt(heard.socket, [...ids, MISSING, 'nonsense', idOf(ended), ids[0]!])
      expect(codes(answers)).toEqual([...ids.map(() => 'watched'), 'NOT_FOUND', 'BAD_ID', 'TASK_NOT_HERE'])
      expect(answers.at(-1)).toMatchObject({ status: 'pending' })
      expect(answers[0]).toEqual({ id: ids[0], attempt: 1 })
      await eventually(() => ids.every((id) => heard.progress.has(id)))
      expect(ids.map((id) => heard.progress.get(id))).toEqual([[0], [1], [2], [3], [4]])
      for (const id of ids)
        expect(await asked(heard.socket, 'messageTask', { id, name: 'move' })).toMatchObject({ data: 1 })
      await eventually(() => ids.every((id) => heard.progress.get(id)!.at(-1) === 1))
      // Lines and events only where they are asked for.
      expect([heard.lines.size, heard.events.size]).toEqual([0, 0])
      await watchAt(heard.socket, [ids[1]!], { logs: true, events: true })
      await eventually(() => heard.lines.get(ids[1]!)?.length === 2)
      await asked(heard.socket, 'messageTask', { id: ids[1], name: 'move' })
      await eventually(() => heard.events.has(ids[1]!) && heard.lines.get(ids[1]!)?.length === 3)
      expect(heard.lines).toEqual(new Map([[ids[1]!, ['begun', 'line 1', 'line 2']]]))
      expect(heard.events).toEqual(new Map([[ids[1]!, [['moved', { done: 2 }]]]]))
      // What is no longer watched is no longer sent; the others go on.
      expect(codeOf(await ask(heard.socket, 'unwatchTasks', { ids: [ids[2], MISSING] }))).toBe('ok')
      await asked(heard.socket, 'messageTask', { id: ids[2], name: 'move' })
      await asked(heard.socket, 'messageTask', { id: ids[3], name: 'finish', data: { total: 3 } })
      await eventually(() => heard.ends.length > 0)
      expect(heard.ends).toEqual([{ id: ids[3], attempt: 1, status: 'completed', output: { total: 3 } }])
      await asked(heard.socket, 'messageTask', { id: ids[4], name: 'move' })
      await eventually(() => heard.progress.get(ids[4]!)!.at(-1) === 2)
      expect(heard.progress.get(ids[2]!)!.at(-1)).toBe(1)
      expect(heard.socket.connected).toBe(true)
    })

    test('refuses what is no message of it, without losing the connection', async () => {
      const { runner, ids } = await host(1)
      const { socket } = await watcher(runner, ids[0]!)
      const answers = [
        await ask(socket, 'watchTasks', { ids: [] }),
        await ask(socket, 'watchTasks', { ids: ids[0] }),
        await ask(socket, 'watchTasks', { ids: Array.from({ length: 501 }, () => MISSING) }),
        await ask(socket, 'watchTasks', { ids, more: 1 }),
        await ask(socket, 'watchTasks'),
        await ask(socket, 'messageTask', { id: 'x', name: 'move' }),
        await ask(socket, 'messageTask', { id: MISSING, name: 'move' }),
        await ask(socket, 'messageTask', { id: ids[0], name: 'dance' }),
        await ask(socket, 'subscribeQuery', {}),
      ]
      expect(answers.map(codeOf)).toEqual([
        'BAD_REQUEST',
        'BAD_REQUEST',
        'BAD_REQUEST',
        'BAD_REQUEST',
        'BAD_REQUEST',
        'BAD_ID',
        'TASK_NOT_HERE',
        'NO_SUCH_MESSAGE',
        'BAD_REQUEST',
      ])
      socket.emit('watchTasks', { ids })
      expect(codes(await watchAt(socket, ids))).toEqual(['watched'])
    })
  })

  test('a client that does not read gets the latest progress of every task, and every end', {
    timeout: 240_000,
  }, async () => {
    const { runner, ids } = await host(8)
    let most = 0
    const gateway = await startGateway(fleet, {
      runner,
      isBehind: (socket: ServerSocket) => {
        most = Math.max(most, waitingBytes(socket))
        return waitingBytes(socket) > MIB / 2
      },
    })
    const given = await ticket(await connect(fleet, runner.url!), ids[0]!)
    const url = (): string => `${gateway.url}/hosts/${runner.id}`
    const [reading, stopped] = [await at(url(), given.token), await at(url(), given.token)]
    for (const heard of [reading, stopped]) await watchAt(heard.socket, ids)
    await eventually(() => stopped.progress.size === ids.length)
    await watchAt(stopped.socket, [ids[0]!], { events: true })
    await watchAt(reading.socket, [ids[0]!], { events: true })
    const resume = stopReading(stopped.socket)
    // First the buffers of the operating system have to be full.
    for (let filled = 2; most < MIB / 2; filled += 2) {
      await runner.attempt(ids[0]!)!.message('fill', '')
      await eventually(() => reading.events.get(ids[0]!)?.length === filled)
    }
    for (let round = 1; round <= ROUNDS; round += 1) {
      for (const id of ids) await runner.attempt(id)!.message('move', 'x'.repeat(14_000))
      await eventually(() => ids.every((id) => reading.progress.get(id)!.at(-1) === round))
    }
    for (const id of ids.slice(1)) await runner.attempt(id)!.message('finish', 'y'.repeat(200_000))
    await eventually(() => reading.ends.length === ids.length - 1)
    expect(most).toBeLessThan(2 * MIB)
    resume()
    await eventually(() => stopped.ends.length === ids.length - 1)
    await eventually(() => ids.every((id) => stopped.progress.get(id)!.at(-1) === ROUNDS))
    for (const id of ids) expect(stopped.progress.get(id)!.length).toBeLessThan(ROUNDS)
    expect(
      stopped.ends.every(({ status, output, partial }) => status === 'completed' && (output !== undefined || partial)),
    ).toBe(true)
    expect(stopped.ends.some(({ partial }) => partial)).toBe(true)
    await runner.attempt(ids[0]!)!.message('move', '')
    await eventually(() => stopped.progress.get(ids[0]!)!.at(-1) === ROUNDS + 1)
  })

  test('rows are limited for a connection and for a key, each task by itself', async () => {
    const { runner, ids } = await host(4)
    const gateway = await startGateway(fleet, {
      runner,
      accountLimits: { ...ACCOUNT_LIMITS, key: { ...ACCOUNT_LIMITS.key, watchedTasks: 3 } },
    })
    const given = await ticket(await connect(fleet, runner.url!), ids[0]!)
    const url = `${gateway.url}/hosts/${runner.id}`
    const [one, other] = [await at(url, given.token), await at(url, given.token)]
    expect(codes(await watchAt(one.socket, ids.slice(0, 2)))).toEqual(['watched', 'watched'])
    expect(codes(await watchAt(other.socket, ids))).toEqual([
      'watched',
      'TOO_MANY_WATCHES',
      'TOO_MANY_WATCHES',
      'TOO_MANY_WATCHES',
    ])
    // Watching again takes no further place, leaving frees it, and so does a lost connection.
    expect(codes(await watchAt(one.socket, ids.slice(0, 2)))).toEqual(['watched', 'watched'])
    await asked(one.socket, 'unwatchTasks', { ids: [ids[0]] })
    expect(codes(await watchAt(other.socket, ids.slice(0, 2)))).toEqual(['watched', 'watched'])
    one.socket.disconnect()
    await eventually(async () => codes(await watchAt(other.socket, [ids[2]!]))[0] === 'watched')
    // Messages are limited too.
    const many = await Promise.all(Array.from({ length: 120 }, () => ask(other.socket, 'unwatchTasks', { ids })))
    expect(many.map(codeOf)).toContain('RATE_LIMITED')
  })
})

describe("a host's socket of a locked fleet", () => {
  const fleet = useFleet()

  test('takes only its own tickets, and forged ids of other tenants are refused one by one', async () => {
    const keys = new KeyStore(fleet.database.db)
    const [mine, theirs] = [ownQueue(), ownQueue()]
    const { token: admin } = await keys.create({ name: 'all', scopes: ['admin'] })
    const { token: tenant, id: tenantId } = await keys.create({ name: 'tenant', scopes: ['read'], queues: [mine] })
    const { token: writer } = await keys.create({ name: 'writer', scopes: ['write'] })
    const runner = await fleet.runner({ queues: [mine, theirs], listen: LOOPBACK, tasks: [told], concurrency: 9 })
    const post = (queue: string): Promise<TaskDocument> => fleet.fleet.enqueue(told, { n: 1 }, { queue })
    const [own, foreign] = [await post(mine), await post(theirs)]
    const waiting = await fleet.fleet.enqueue(told, { n: 1 }, { queue: theirs, runAt: new Date('2099-01-01') })
    for (const task of [own, foreign]) await fleet.runsAt(runner, task)
    const gateway = await connect(fleet, runner.url!, tenant)
    expect(codeOf(await ask(gateway, 'hostTicket', { id: idOf(foreign) }))).toBe('QUEUE_NOT_ALLOWED')
    expect(codeOf(await ask(gateway, 'hostTicket', { id: MISSING }))).toBe('NOT_FOUND')
    expect(codeOf(await ask(gateway, 'hostTicket', { id: 'x' }))).toBe('BAD_ID')
    expect(codeOf(await ask(await connect(fleet, runner.url!, writer), 'hostTicket', { id: idOf(own) }))).toBe(
      'FORBIDDEN',
    )
    const given = await eventually(async () => {
      const answer = await asked<HostTicketAnswer>(gateway, 'hostTicket', { id: idOf(own) })
      return answer.url !== undefined && answer
    })
    const ofTask = await asked<{ token: string }>(gateway, 'taskTicket', { id: idOf(own) })
    const elsewhere = given.url!.replace(/[0-9a-f]{12}$/, 'a'.repeat(12))
    const refusals: [string | undefined, string | undefined, string][] = [
      [given.url, undefined, 'UNAUTHENTICATED'],
      [given.url, 'nonsense', 'UNAUTHENTICATED'],
      [given.url, tenant, 'WRONG_AUDIENCE'],
      [given.url, ofTask.token, 'WRONG_AUDIENCE'],
      [elsewhere, given.token, 'WRONG_AUDIENCE'],
      [given.relayUrl, undefined, 'UNAUTHENTICATED'],
      [given.relayUrl, ofTask.token, 'WRONG_AUDIENCE'],
    ]
    for (const [url, token, code] of refusals)
      expect([url, (await refusal(open(url!, token)))?.data?.code]).toEqual([url, code])
    // And a ticket of a host opens no task's socket.
    expect((await refusal(open(`${runner.url}/tasks/${idOf(own)}`, given.token)))?.data?.code).toBe('WRONG_AUDIENCE')

    const relay = await startGateway(fleet)
    for (const url of [given.url!, `${relay.url}/relay/hosts/${runner.id}`]) {
      const socket = open(url, given.token)
      fleet.cleanup(() => socket.disconnect())
      const heard = listen(socket)
      expect(await refusal(socket)).toBeUndefined()
      const answers = await watchAt(socket, [idOf(foreign), idOf(own), idOf(waiting), MISSING])
      expect(codes(answers)).toEqual(['QUEUE_NOT_ALLOWED', 'watched', 'QUEUE_NOT_ALLOWED', 'NOT_FOUND'])
      expect(JSON.stringify(answers)).not.toContain('pending')
      expect(codeOf(await ask(socket, 'messageTask', { id: idOf(own), name: 'move' }))).toBe('FORBIDDEN')
      await runner.attempt(idOf(foreign))!.message('move', '')
      await runner.attempt(idOf(own))!.message('move', '')
      await eventually(() => heard.progress.has(idOf(own)))
      expect([...heard.progress.keys()]).toEqual([idOf(own)])
    }
    // A key that may send messages reaches only its own tasks.
    const { token: control } = await keys.create({ name: 'control', scopes: ['read', 'control'], queues: [mine] })
    const controlling = open(
      given.url!,
      (await asked<HostTicketAnswer>(await connect(fleet, runner.url!, control), 'hostTicket', { id: idOf(own) }))
        .token,
    )
    fleet.cleanup(() => controlling.disconnect())
    expect(await refusal(controlling)).toBeUndefined()
    expect(codeOf(await ask(controlling, 'messageTask', { id: idOf(foreign), name: 'move' }))).toBe('QUEUE_NOT_ALLOWED')
    expect(codeOf(await ask(controlling, 'messageTask', { id: idOf(own), name: 'move' }))).toBe('ok')

    // The rights of a key are those of now.
    const late = open(given.url!, given.token)
    fleet.cleanup(() => late.disconnect())
    expect(await refusal(late)).toBeUndefined()
    await keys.revoke(tenantId)
    await eventually(() => !late.connected)
    expect((await refusal(open(given.url!, given.token)))?.data?.code).toBe('UNAUTHENTICATED')
    expect(admin).toContain('tf_')
  })
})
