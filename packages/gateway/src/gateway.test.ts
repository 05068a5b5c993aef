import { isDeepStrictEqual } from 'node:util'
import { KeyStore } from '@taskfleet/core'
import { toRow } from '@taskfleet/core/internal'
import type { CommandAnswer, SubscribeAnswer, TaskRow, TicketAnswer, WorkerRow } from '@taskfleet/protocol'
import {
  ask,
  asked,
  codeOf,
  connect,
  HeldRows,
  LOOPBACK,
  next,
  open,
  ownQueue,
  refusal,
  silent,
  startGateway,
  upgrade,
} from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'
import { GatewayHost } from './gateway-host.ts'

describe('Gateway', () => {
  const fleet = useFleet()

  /** What the database says that a subscriber of a queue should see. */
  const atRest = async (queue: string, limit: number): Promise<TaskRow[]> => {
    const docs = await fleet.database.db
      .collection('tasks')
      .find({ queue })
      .sort({ priority: -1, _id: 1 })
      .limit(limit)
      .toArray()
    return docs.map((doc) => toRow<TaskRow>('tasks', doc))
  }

  test('a subscriber has the rows of the database at any time, from any gateway', async () => {
    const queue = ownQueue()
    const own = await fleet.runner({ queue, listen: LOOPBACK })
    const other = await startGateway(fleet)
    const query = { filter: { queue }, sort: { priority: -1 }, limit: 4 }
    const [near, far] = [
      await HeldRows.open(await connect(fleet, own.url!), query),
      await HeldRows.open(await connect(fleet, other.url!), query),
    ]
    expect([near.rows, far.rows]).toEqual([[], []])
    const tasks = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        fleet.post(
          [
            { do: 'progress', done: 1, total: 2 },
            { do: 'fail', times: 1 },
          ],
          { queue, priority: (index % 4) + 1 },
        ),
      ),
    )
    for (const { _id } of tasks) await fleet.ended(_id)
    const wanted = await atRest(queue, 4)
    await eventually(() => isDeepStrictEqual(near.rows, wanted) && isDeepStrictEqual(far.rows, wanted))
    expect(wanted).toHaveLength(4)
    expect([near.resets, far.resets]).toEqual([0, 0])
  })

  test('identical queries share a view, and a client that disconnects does not affect the others', async () => {
    const queue = ownQueue()
    const gateway = await startGateway(fleet, { lingerMs: 0 })
    const [first, second] = [await connect(fleet, gateway.url!), await connect(fleet, gateway.url!)]
    const query = { filter: { queue }, sort: { _id: 1 } }
    const [one, two] = [await HeldRows.open(first, query), await HeldRows.open(second, query)]
    const again = await asked<SubscribeAnswer>(first, 'subscribeQuery', query)
    expect(one.subscription).toBe(two.subscription)
    expect(again.subscription).toBe(one.subscription)
    expect(gateway.load).toMatchObject({ connections: 2, rooms: 1, views: 1 })
    await asked(first, 'unsubscribeQuery', { subscription: one.subscription })
    await asked(first, 'unsubscribeQuery', { subscription: one.subscription })
    await asked(first, 'unsubscribeQuery', { subscription: one.subscription })
    await asked(first, 'unsubscribeQuery', { subscription: 'never-had' })
    const delta = next(second, 'queryDelta')
    const task = await fleet.post([], { queue })
    await delta
    expect(two.rows.map(({ _id }) => _id)).toEqual([task._id.toHexString()])
    expect(one.rows).toEqual([])
    second.disconnect()
    await eventually(() => gateway.load.rooms === 0 && gateway.load.views === 0)
  })

  test('workers can be watched as they come and go', async () => {
    const gateway = await startGateway(fleet)
    const socket = await connect(fleet, gateway.url!)
    const held = await HeldRows.open(socket, { collection: 'workers', filter: { name: 'come-and-go' } })
    const runner = await fleet.runner({ queue: ownQueue(), name: 'come-and-go', listen: LOOPBACK })
    const row = (): WorkerRow | undefined => held.rows[0] as unknown as WorkerRow | undefined
    await eventually(() => row()?.state === 'running')
    expect(row()).toMatchObject({ _id: runner.id, url: runner.url, role: 'worker', slots: 4 })
    expect(row()).not.toHaveProperty('expireAt')
    await runner.stop({ grace: 0 })
    await eventually(() => row()?.state === 'stopped')
  })

  test('a client that reconnects gets the missed changes and no reset', async () => {
    const queue = ownQueue()
    const gateway = await startGateway(fleet)
    const query = { filter: { queue }, sort: { priority: -1 }, limit: 10 }
    const first = await connect(fleet, gateway.url!)
    await fleet.post([], { queue })
    const held = await HeldRows.open(first, query)
    const gone = next(first, 'disconnect')
    first.io.engine.close()
    await gone
    await eventually(() => gateway.load.rooms === 0)
    const missed = await fleet.post([], { queue, priority: 9 })
    const second = await connect(fleet, gateway.url!)
    const answer = await eventually(async () => {
      const resume = { epoch: held.epoch, seq: held.seq }
      const resumed = await asked<SubscribeAnswer<TaskRow>>(second, 'subscribeQuery', { ...query, resume })
      if (resumed.deltas === undefined || resumed.deltas.length > 0) return resumed
      await asked(second, 'unsubscribeQuery', { subscription: resumed.subscription })
      return false
    })
    expect(answer).not.toHaveProperty('rows')
    for (const delta of answer.deltas!) held.delta(delta)
    expect(held.rows[0]?._id).toBe(missed._id.toHexString())
    expect(held.rows).toEqual(await atRest(queue, 10))
    const unknown = { ...query, resume: { epoch: 'another', seq: 3 } }
    expect(await asked<SubscribeAnswer>(second, 'subscribeQuery', unknown)).toHaveProperty('rows')
  })

  test('takes tasks, cancels them one by one or by filter, and reports the refused ones', async () => {
    const queue = ownQueue()
    const socket = await connect(fleet, (await startGateway(fleet)).url!)
    const { task } = await asked<{ task: TaskRow }>(socket, 'enqueue', {
      name: 'scripted',
      queue,
      priority: 'high',
      input: { steps: [] },
    })
    expect(task).toMatchObject({ status: 'pending', priority: 8, queue })
    expect(task).not.toHaveProperty('lease')
    const more = await Promise.all([fleet.post([], { queue }), fleet.post([], { queue })])
    const cancel = (request: object): Promise<CommandAnswer> => asked<CommandAnswer>(socket, 'cancel', request)
    expect(await cancel({ filter: { queue }, dryRun: true })).toMatchObject({ matched: 3, changed: 0 })
    expect(await cancel({ id: task._id, reason: 'no need' })).toMatchObject({ matched: 1, changed: 1, refused: [] })
    expect(await cancel({ id: task._id })).toMatchObject({ matched: 1, refused: [] })
    expect(await cancel({ filter: { queue } })).toMatchObject({ matched: 2, changed: 2 })
    const [done] = more
    await fleet.database.db.collection('tasks').updateOne({ _id: done!._id }, { $set: { status: 'completed' } })
    expect((await cancel({ ids: [done!._id.toHexString()] })).refused).toMatchObject([
      { error: { code: 'ALREADY_ENDED' } },
    ])
    expect(codeOf(await ask(socket, 'cancel', { id: 'f'.repeat(24) }))).toBe('NOT_FOUND')
    expect(codeOf(await ask(socket, 'cancel', {}))).toBe('BAD_REQUEST')
    expect(codeOf(await ask(socket, 'cancel', { id: task._id, filter: {} }))).toBe('BAD_REQUEST')
    expect(codeOf(await ask(socket, 'cancel', { id: { $ne: null } }))).toBe('BAD_ID')
    expect(codeOf(await ask(socket, 'cancel', JSON.parse('{"filter":{"__proto__":{"a":1}}}')))).toBe('UNKNOWN_FIELD')
  })

  test("gives tickets to a running task's socket, by its own address and by the relay", async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, listen: LOOPBACK })
    const gateway = await startGateway(fleet)
    const socket = await connect(fleet, gateway.url!)
    const task = await fleet.post([{ do: 'waitForAbort' }], { queue })
    await fleet.runsAt(runner, task)
    const id = task._id.toHexString()
    const ticket = await eventually(async () => {
      const answer = await asked<TicketAnswer>(socket, 'taskTicket', { id })
      return answer.publicUrl !== undefined && answer
    })
    expect(ticket).toMatchObject({ publicUrl: `${runner.url}/tasks/${id}`, relayUrl: `${gateway.url}/relay/${id}` })
    expect(Date.parse(ticket.expiresAt)).toBeGreaterThan(Date.now())
    await fleet.database.db
      .collection('tasks')
      .updateOne({ _id: task._id }, { $set: { publicUrl: 'http://169.254.169.254/' } })
    expect(await asked(socket, 'taskTicket', { id })).not.toHaveProperty('publicUrl')
    const waiting = await fleet.post([], { queue: ownQueue() })
    expect(codeOf(await ask(socket, 'taskTicket', { id: waiting._id.toHexString() }))).toBe('NOT_RUNNING')
    expect(codeOf(await ask(socket, 'taskTicket', { id: 'f'.repeat(24) }))).toBe('NOT_FOUND')
    expect(codeOf(await ask(socket, 'taskTicket', { id: 'nonsense' }))).toBe('BAD_ID')
  })

  describe('gets invalid requests', () => {
    const deep = (levels: number): object => (levels === 0 ? { status: 'running' } : { $and: [deep(levels - 1)] })
    const filters: [string, unknown, string][] = [
      ['code', { $where: 'globalThis.hacked = true' }, 'BAD_FILTER'],
      ['code in $or', { $or: [{ $where: 'globalThis.hacked = true' }] }, 'BAD_FILTER'],
      ['code in $not', { status: { $not: { $where: 'globalThis.hacked = true' } } }, 'BAD_FILTER'],
      ['code in $elemMatch', { 'input.a': { $elemMatch: { $where: 'globalThis.hacked = true' } } }, 'BAD_FILTER'],
      ['$expr', { $expr: { $eq: [1, 1] } }, 'BAD_FILTER'],
      ['$jsonSchema', { $jsonSchema: {} }, 'BAD_FILTER'],
      ['a costly pattern', { name: { $regex: '^(a+)+$' } }, 'BAD_FILTER'],
      ['$type', { name: { $type: 2 } }, 'BAD_FILTER'],
      ['$in of a text', { name: { $in: 'x' } }, 'BAD_FILTER'],
      ['an empty $and', { $and: [] }, 'BAD_FILTER'],
      ['no object', 'status', 'BAD_FILTER'],
      ['too deep', deep(7), 'FILTER_TOO_BIG'],
      ['too deep for a stack', deep(2_000), 'FILTER_TOO_BIG'],
      ['too many values', { name: { $in: Array.from({ length: 201 }, String) } }, 'FILTER_TOO_BIG'],
      ['too long', { name: 'x'.repeat(5_000) }, 'FILTER_TOO_BIG'],
      ['a path through a prototype', { 'constructor.name': 'x' }, 'UNKNOWN_FIELD'],
      ['a prototype', JSON.parse('{"__proto__":{"x":1}}'), 'UNKNOWN_FIELD'],
      ['the lease', { 'lease.id': 'x' }, 'UNKNOWN_FIELD'],
      ['a date that is none', { runAt: { $gt: 'soon' } }, 'BAD_VALUE'],
      ['EJSON code', { _id: { $code: 'x' } }, 'BAD_VALUE'],
    ]
    const queries: [string, object, string][] = [
      ['fields by expression', { fields: { x: '$lease.id' } }, 'BAD_FIELDS'],
      ['all fields', { fields: ['*'] }, 'BAD_FIELDS'],
      ['the lease as a field', { fields: ['lease.id'] }, 'BAD_FIELDS'],
      ['a sort on input', { sort: { 'input.x': 1 } }, 'BAD_SORT'],
      [
        'a sort by nine keys',
        { sort: Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`k${n}`, 1])) },
        'BAD_SORT',
      ],
      ['limit 0', { limit: 0 }, 'BAD_SORT'],
      ['limit 1e9', { limit: 1e9 }, 'BAD_SORT'],
      ['another collection', { collection: 'keys' }, 'BAD_REQUEST'],
      ['an unknown word', { skip: 5 }, 'BAD_REQUEST'],
      ['a bad resume', { resume: { epoch: {}, seq: -1 } }, 'BAD_REQUEST'],
    ]

    test('answers each with its code, changes nothing, and serves the next request', async () => {
      const gateway = await startGateway(fleet)
      let socket = await connect(fleet, gateway.url!)
      const wanted: string[] = []
      const got: string[] = []
      for (const [index, [what, query, code]] of [
        ...filters.map(([what, filter, code]) => [what, { filter }, code] as const),
        ...queries,
      ].entries()) {
        // Within what one connection may ask in a second.
        if (index % 25 === 24) socket = await connect(fleet, gateway.url!)
        wanted.push(`${what}: ${code}`)
        got.push(`${what}: ${codeOf(await ask(socket, 'subscribeQuery', query))}`)
      }
      expect(got).toEqual(wanted)
      expect(globalThis).not.toHaveProperty('hacked')
      expect(gateway.load.rooms).toBe(0)
      expect(codeOf(await ask(socket, 'subscribeQuery', {}))).toBe('ok')
    })

    test('survives invalid messages', async () => {
      const gateway = await startGateway(fleet)
      const socket = await connect(fleet, gateway.url!)
      socket.emit('subscribeQuery', {})
      socket.emit('subscribeQuery', {}, 5)
      socket.emit('subscribeQuery')
      socket.emit('nonsense', 1, 2, 3)
      const many = Array.from({ length: 50 }, (_, index) => index)
      const answers = await Promise.all([
        ask(socket, 'subscribeQuery'),
        ask(socket, 'subscribeQuery', null),
        ask(socket, 'subscribeQuery', 'x'),
        ask(socket, 'subscribeQuery', []),
        ask(socket, 'subscribeQuery', ...many),
        ask(socket, 'subscribeQuery', Buffer.from('x')),
        ask(socket, 'cancel', { filter: Buffer.from('x') }),
        ask(socket, 'enqueue', Buffer.from('x')),
        ask(socket, 'unsubscribeQuery', { subscription: 7 }),
        ask(socket, '__proto__', {}),
        ask(socket, 'constructor', {}),
        ask(socket, 'toString'),
        ask(socket, 'drop everything'),
      ])
      expect(answers.map(codeOf)).toEqual([
        ...Array.from({ length: 6 }, () => 'BAD_REQUEST'),
        'BAD_FILTER',
        'UNKNOWN_FIELD',
        ...Array.from({ length: 5 }, () => 'BAD_REQUEST'),
      ])
      expect(codeOf(await ask(socket, 'subscribeQuery', {}))).toBe('ok')
      const closed = next(socket, 'disconnect')
      socket.emit('enqueue', { name: 'scripted', input: { text: 'x'.repeat(2 * 1024 * 1024) } })
      await closed
      expect(codeOf(await ask(await connect(fleet, gateway.url!), 'subscribeQuery', {}))).toBe('ok')
    })

    test('allows twenty subscriptions a connection, and another one when one is ended', async () => {
      const gateway = await startGateway(fleet)
      const socket = await connect(fleet, gateway.url!)
      const subscribe = (limit: number) => ask<SubscribeAnswer>(socket, 'subscribeQuery', { limit })
      const answers = await Promise.all(Array.from({ length: 21 }, (_, index) => subscribe(index + 1)))
      expect(answers.map(codeOf)).toEqual([...Array.from({ length: 20 }, () => 'ok'), 'TOO_MANY_SUBSCRIPTIONS'])
      const [first] = answers
      await asked(socket, 'unsubscribeQuery', { subscription: first!.ok && first!.subscription })
      expect(codeOf(await subscribe(21))).toBe('ok')
    })

    test('watched tasks are counted separately from subscriptions, up to two hundred a connection', async () => {
      const gateway = await startGateway(fleet)
      const socket = await connect(fleet, gateway.url!)
      const ids = Array.from({ length: 201 }, (_, index) => index.toString(16).padStart(24, '0'))
      const watched: string[] = []
      /** Again and again while the gateway finds it too fast. */
      const patiently: typeof ask = async (...request) => {
        const answer = await ask<never>(...request)
        return codeOf(answer) === 'RATE_LIMITED' ? patiently(...request) : answer
      }
      const watch = async (_id: string): Promise<string> => {
        const answer = await patiently<SubscribeAnswer>(socket, 'subscribeQuery', { filter: { _id }, limit: 1 })
        if (answer.ok) watched.push(answer.subscription)
        return codeOf(answer)
      }
      const codes: string[] = []
      for (const _id of ids) codes.push(await watch(_id))
      expect(codes).toEqual([...Array.from({ length: 200 }, () => 'ok'), 'TOO_MANY_WATCHES'])
      expect(codeOf(await patiently(socket, 'subscribeQuery', {}))).toBe('ok')
      expect(codeOf(await patiently(socket, 'checksumQuery', { subscription: watched[0] }))).toBe('ok')
      await patiently(socket, 'unsubscribeQuery', { subscription: watched[0] })
      expect(await watch(ids[200]!)).toBe('ok')
    })

    test('refuses a client that sends too many messages, and accepts it again a moment later', async () => {
      const gateway = await startGateway(fleet)
      const socket = await connect(fleet, gateway.url!)
      const flood = await Promise.all(
        Array.from({ length: 600 }, () => ask(socket, 'unsubscribeQuery', { subscription: 'x' })),
      )
      const codes = flood.map(codeOf)
      expect(codes.filter((code) => code === 'ok').length).toBeLessThan(450)
      expect(new Set(codes)).toEqual(new Set(['ok', 'RATE_LIMITED']))
      await eventually(async () => codeOf(await ask(socket, 'unsubscribeQuery', { subscription: 'x' })) === 'ok')
    })
  })

  test('a client that subscribes and disconnects at once, many times, leaves nothing behind', async () => {
    const gateway = await startGateway(fleet, { lingerMs: 0 })
    for (let round = 0; round < 10; round += 1) {
      const sockets = Array.from({ length: 20 }, () => open(gateway.url!))
      await Promise.all(
        sockets.map(async (socket, index) => {
          await next(socket, 'connect')
          socket.emit('subscribeQuery', { limit: (index % 7) + 1 }, () => undefined)
          if (index % 2 === 0) socket.disconnect()
          else socket.io.engine.close()
        }),
      )
    }
    await eventually(() => gateway.load.connections === 0 && gateway.load.rooms === 0 && gateway.load.views === 0)
  })

  test('keeps no namespace that a client made up', async () => {
    const gateway = await startGateway(fleet)
    const socket = await connect(fleet, gateway.url!)
    const before = gateway.load.namespaces
    const names = Array.from({ length: 400 }, (_, index) => `/made-up/${index}`)
    names.push('/tasks/unknown', '/tasks/../x', '/tasks/%2e%2e', '/relay/', `/${'n'.repeat(10_000)}`)
    const refusals = await Promise.all(names.map((name) => refusal(socket.io.socket(name))))
    expect(new Set(refusals.map((error) => error?.message))).toEqual(new Set(['Invalid namespace']))
    const ids = Array.from({ length: 50 }, (_, index) => index.toString(16).padStart(24, '0'))
    const absent = ids.flatMap((id) => [socket.io.socket(`/tasks/${id}`), socket.io.socket(`/relay/${id}`)])
    const codes = (await Promise.all(absent.map(refusal))).map((error) => error?.data?.code)
    expect(new Set(codes)).toEqual(new Set(['TASK_NOT_HERE']))
    expect(gateway.load.namespaces).toBe(before)
    expect(codeOf(await ask(socket, 'subscribeQuery', {}))).toBe('ok')
  })

  test('refuses foreign pages and foreign names before the upgrade', async () => {
    const gateway = await startGateway(fleet)
    const { host, port } = new URL(gateway.url!)
    const refused = async (headers: Record<string, string>): Promise<[number, string]> => {
      const { status, body } = await upgrade(gateway.url!, headers)
      return [status, body === '' ? '' : (JSON.parse(body) as { code: string }).code]
    }
    expect(await refused({ Host: host, Origin: 'http://evil.example' })).toEqual([403, 'BAD_ORIGIN'])
    expect(await refused({ Host: host, Origin: 'null' })).toEqual([403, 'BAD_ORIGIN'])
    expect(await refused({ Host: host, Origin: 'http://127.0.0.1:1' })).toEqual([403, 'BAD_ORIGIN'])
    expect(await refused({ Host: host, Origin: `http://127.0.0.1.evil.example:${port}` })).toEqual([403, 'BAD_ORIGIN'])
    expect(await refused({ Host: 'evil.example' })).toEqual([403, 'BAD_HOST'])
    expect(await refused({ Host: `evil.example:${port}`, Origin: `http://evil.example:${port}` })).toEqual([
      403,
      'BAD_HOST',
    ])
    expect(await refused({ Host: host, Origin: `http://${host}` })).toEqual([101, ''])
    expect(await refused({ Host: host, Origin: `http://localhost:${port}` })).toEqual([101, ''])
    expect(await refused({ Host: `localhost:${port}` })).toEqual([101, ''])
    const plain = { Host: 'evil.example', Connection: 'close', Upgrade: '' }
    const page = await upgrade(gateway.url!, plain, '/api/openapi.json')
    expect([page.status, page.body]).toEqual([403, expect.stringMatching(/BAD_HOST/)])
    expect(page.body).toMatch(/'evil\.example'.*has the name http:\/\/127\.0\.0\.1:\d+.*--public-url/)
    expect((await upgrade(gateway.url!, plain, '/health/live')).status).toBe(200)
    for (const query of ['EIO=4&transport=constructor', 'EIO=4&transport=websocket&sid=__proto__']) {
      expect((await upgrade(gateway.url!, { Host: host }, `/socket.io/?${query}`)).status).toBe(400)
    }
  })

  test('does not start on an address where it must not or can not listen', async () => {
    const start = (listen: { host: string; port: number }, publicUrl?: string) =>
      startGateway(fleet, { listen, ...(publicUrl === undefined ? {} : { publicUrl }) }).then(
        () => 'started',
        (error: { code: string; message: string }) => `${error.code} ${error.message}`,
      )
    expect(await start({ host: '0.0.0.0', port: 0 }, 'http://worker.example:4100')).toMatch(
      /^INSECURE_BIND .*0\.0\.0\.0/,
    )
    for (const bad of [
      'worker:4100',
      'javascript:alert(1)',
      'http://a:b@host',
      'http://:b@host',
      'http://host/path',
      'http://0.0.0.0:1',
      'http://host?x',
    ]) {
      expect(await start(LOOPBACK, bad)).toMatch(/^BAD_PUBLIC_URL /)
    }
    const there = await startGateway(fleet)
    const port = Number(new URL(there.url!).port)
    expect(await start({ host: '127.0.0.1', port })).toMatch(new RegExp(`^EADDRINUSE .*127\\.0\\.0\\.1:${port}`))
    const host = new GatewayHost({ mongo: fleet.uri, listen: { host: '127.0.0.1', port }, log: silent })
    await expect(host.start()).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })
})

describe('Gateway of a locked fleet', () => {
  const fleet = useFleet()
  const keys = () => new KeyStore(fleet.database.db)

  test('accepts a client with a key, with the permissions of the key', async () => {
    const gateway = await startGateway(fleet, { keyCheckMs: 50 })
    const early = await connect(fleet, gateway.url!)
    const cut = next(early, 'disconnect')
    const { id, token } = await keys().create({ name: 'reader', scopes: ['read'] })
    await cut
    const wrong = `${token.slice(0, -3)}${token.endsWith('AAA') ? 'BBB' : 'AAA'}`
    for (const bad of [undefined, wrong, 'nonsense', { $ne: null }, `tf_${'0'.repeat(12)}_${'A'.repeat(43)}`]) {
      const error = await refusal(open(gateway.url!, bad as string))
      expect([error?.message, error?.data]).toEqual(['UNAUTHENTICATED', { code: 'UNAUTHENTICATED' }])
    }
    const inQuery = await refusal(open(`${gateway.url}?token=${token}`))
    expect(inQuery?.message).toBe('UNAUTHENTICATED')
    const reader = await connect(fleet, gateway.url!, token)
    expect(codeOf(await ask(reader, 'subscribeQuery', {}))).toBe('ok')
    const refused = await ask(reader, 'enqueue', { name: 'scripted' })
    expect(refused).toMatchObject({
      ok: false,
      error: { code: 'FORBIDDEN', message: expect.stringContaining("'write'") },
    })
    expect(codeOf(await ask(reader, 'cancel', { filter: {} }))).toBe('FORBIDDEN')
    const revoked = next(reader, 'disconnect')
    await keys().revoke(id)
    await revoked
    expect((await refusal(open(gateway.url!, token)))?.message).toBe('UNAUTHENTICATED')
    const everywhere = startGateway(fleet, { listen: { host: '0.0.0.0', port: 0 } })
    await expect(everywhere).rejects.toMatchObject({ code: 'BAD_PUBLIC_URL' })
    const expired = await keys().create({ name: 'old', scopes: ['read'], expiresAt: new Date(Date.now() - 1_000) })
    expect((await refusal(open(gateway.url!, expired.token)))?.message).toBe('UNAUTHENTICATED')
  })

  test('shows a key that is limited to a queue no other queue, in rows and in deltas', async () => {
    const gateway = await startGateway(fleet)
    const limited = await keys().create({ name: 'limited', scopes: ['read', 'write', 'control'], queues: ['mine'] })
    const socket = await connect(fleet, gateway.url!, limited.token)
    const [mine, theirs] = [await fleet.post([], { queue: 'mine' }), await fleet.post([], { queue: 'theirs' })]
    const held = await HeldRows.open(socket, { filter: {}, sort: { _id: 1 } })
    const heard: string[] = []
    socket.on('queryDelta', (delta) => heard.push(JSON.stringify(delta)))
    expect(held.rows.map(({ _id }) => _id)).toEqual([mine._id.toHexString()])
    const [gone, also] = [await fleet.post([], { queue: 'theirs' }), await fleet.post([], { queue: 'mine' })]
    await fleet.database.db.collection('tasks').deleteOne({ _id: gone._id })
    await fleet.fleet.store.cancel(theirs._id, 'ann')
    await fleet.fleet.store.cancel(also._id, 'ann')
    await eventually(() => held.rows[1]?.status === 'cancelled')
    expect(heard.join()).not.toContain('theirs')
    expect(heard.join()).not.toContain(gone._id.toHexString())
    expect(heard.join()).not.toContain(theirs._id.toHexString())
    expect(codeOf(await ask(socket, 'enqueue', { name: 'scripted', queue: 'theirs' }))).toBe('QUEUE_NOT_ALLOWED')
    expect(codeOf(await ask(socket, 'cancel', { id: theirs._id.toHexString() }))).toBe('QUEUE_NOT_ALLOWED')
    expect(await asked(socket, 'cancel', { filter: { queue: 'theirs' } })).toMatchObject({ matched: 0 })
    expect(codeOf(await ask(socket, 'taskTicket', { id: theirs._id.toHexString() }))).toBe('QUEUE_NOT_ALLOWED')
    expect(codeOf(await ask(socket, 'subscribeQuery', { collection: 'events' }))).toBe('FORBIDDEN')
    // Queues are limited like tasks: changes of another queue are not sent, now or later.
    for (const queue of ['theirs', 'mine']) await fleet.fleet.queues.setPaused(queue, true, 'ann', 'a secret')
    const queues = await HeldRows.open(socket, { collection: 'queues' })
    expect(queues.rows.map(({ _id }) => _id)).toEqual(['mine'])
    for (const queue of ['theirs', 'mine']) await fleet.fleet.queues.setPaused(queue, false, 'ann')
    await eventually(() => (queues.rows[0] as unknown as { paused: boolean }).paused === false)
    expect(heard.join()).not.toContain('theirs')
  })
})
