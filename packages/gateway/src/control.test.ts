import { KeyStore, type Scope } from '@taskfleet/core'
import type { ClientToGateway } from '@taskfleet/protocol'
import { ask, codeOf, connect, ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'

const fleet = useFleet()
const keys = () => new KeyStore(fleet.database.db)
const missing = 'f'.repeat(24)

/** Every message of the gateway, with the scope it needs and a request that is well-formed. */
const MESSAGES: Record<keyof ClientToGateway, { scope: Scope; request: object }> = {
  subscribeQuery: { scope: 'read', request: { filter: { queue: 'nowhere' } } },
  unsubscribeQuery: { scope: 'read', request: { subscription: 'q_none' } },
  subscribeStats: { scope: 'read', request: {} },
  subscribeAttention: { scope: 'read', request: {} },
  checksumQuery: { scope: 'read', request: { subscription: 'q_none' } },
  explain: { scope: 'read', request: { id: missing } },
  coverage: { scope: 'read', request: {} },
  taskLog: { scope: 'read', request: { id: missing } },
  audit: { scope: 'read', request: {} },
  taskTicket: { scope: 'read', request: { id: missing } },
  hostTicket: { scope: 'read', request: { id: missing } },
  renewSession: { scope: 'read', request: { token: 'ey' } },
  enqueue: { scope: 'write', request: { name: 'scripted', input: { steps: [] }, queue: 'nowhere' } },
  cancel: { scope: 'control', request: { id: missing } },
  pause: { scope: 'control', request: { id: missing } },
  resume: { scope: 'control', request: { id: missing } },
  retry: { scope: 'control', request: { id: missing } },
  replay: { scope: 'control', request: { id: missing } },
  reprioritise: { scope: 'control', request: { id: missing, priority: 3 } },
  edit: { scope: 'control', request: { id: missing, changes: { priority: 3 } } },
  markError: { scope: 'control', request: { fingerprint: 'none', state: 'resolved' } },
  controlWorker: { scope: 'control', request: { worker: 'none', action: 'drain' } },
  controlQueue: { scope: 'control', request: { queue: 'nowhere', action: 'pause' } },
  operation: { scope: 'control', request: { name: 'queues.pause', request: 'nowhere' } },
}

describe('each message needs its scope', () => {
  test.each(['read', 'write', 'control', 'worker'] as const)("a key with '%s' alone", async (scope) => {
    const gateway = await startGateway(fleet)
    const { token } = await keys().create({ name: scope, scopes: [scope] })
    const socket = await connect(fleet, gateway.url!, token)
    for (const [event, needs] of Object.entries(MESSAGES)) {
      const code = codeOf(await ask(socket, event, needs.request))
      expect(`${event}: ${code === 'FORBIDDEN'}`).toBe(`${event}: ${needs.scope !== scope}`)
    }
  })
})

describe('commands over the socket', () => {
  const open = async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, listen: { host: '127.0.0.1', port: 0 } })
    const { token } = await keys().create({ name: 'boss', scopes: ['read', 'write', 'control'] })
    return { queue, runner, client: fleet.client(runner.url!, { token }) }
  }

  test('a running task is paused, resumed and cancelled, a failed one retried, an ended one replayed', async () => {
    const { queue, client } = await open()
    const task = await fleet.post([{ do: 'waitForAbort' }], { queue })
    const id = task._id.toHexString()
    await fleet.until(task._id, ({ status }) => status === 'running')
    expect(await client.pause({ id, reason: 'wait' })).toMatchObject({ changed: 1 })
    await fleet.until(task._id, ({ status }) => status === 'paused')
    expect(await client.resume({ id })).toMatchObject({ changed: 1 })
    await fleet.until(task._id, ({ status }) => status === 'running')
    expect(await client.cancel({ id, reason: 'enough' })).toMatchObject({ changed: 1 })
    await fleet.until(task._id, ({ status }) => status === 'cancelled')
    expect(await client.retry({ id })).toMatchObject({ changed: 1 })
    await fleet.until(task._id, ({ status }) => status === 'running')
    await client.cancel({ id })
    await fleet.ended(task._id)
    const { tasks } = await client.replay({ id, input: { steps: [{ do: 'return', value: 'anew' }] } })
    expect(tasks).toHaveLength(1)
    const audit = await client.audit({ id })
    expect(audit.map(({ action }) => action)).toEqual(['replay', 'cancel', 'retry', 'cancel', 'resume', 'pause'])
    expect(audit[3]).toMatchObject({ reason: 'enough', changed: 1 })
  })

  test('a waiting task is edited and explained', async () => {
    const { queue, client } = await open()
    const task = await fleet.post([], { queue, runAt: new Date(Date.now() + 3_600_000) })
    const id = task._id.toHexString()
    expect(await client.explain(id)).toMatchObject({ willRun: true, reasons: [{ code: 'NOT_DUE' }] })
    expect(await client.edit({ id, changes: { priority: 'high', deadline: '2031-01-01T00:00:00Z' } })).toMatchObject({
      priority: 8,
      deadline: '2031-01-01T00:00:00.000Z',
    })
    expect(await client.reprioritise({ filter: { _id: id }, priority: 1 })).toMatchObject({ changed: 1 })
    await expect(client.edit({ id, rev: 1, changes: { priority: 5 } })).rejects.toMatchObject({ code: 'REV_CONFLICT' })
    await expect(client.edit({ id, changes: {} })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  })

  test('errors and queues are live rows, and log lines of ended tasks can be read', async () => {
    const { queue, client } = await open()
    const errors = await client.subscribe({ collection: 'errors', filter: { state: 'open' } }, () => undefined)
    const paused = await client.subscribe({ collection: 'queues', filter: { paused: true } }, () => undefined)
    const task = await fleet.post(
      [
        { do: 'log', message: 'about to' },
        { do: 'fail', fatal: true, code: 'ODD' },
      ],
      { queue },
    )
    const group = await eventually(() => errors.rows.find(({ code }) => code === 'ODD'))
    expect(group).toMatchObject({ count: 1, tasks: ['scripted'], samples: [task._id.toHexString()] })
    expect(await eventually(async () => (await client.taskLog({ id: task._id.toHexString() }))[0])).toMatchObject({
      message: 'about to',
      attempt: 1,
    })
    await client.markError({ fingerprint: group._id, state: 'resolved' })
    await eventually(() => errors.rows.every(({ _id }) => _id !== group._id))
    await client.controlQueue({ queue, action: 'pause', reason: 'maintenance' })
    expect(await eventually(() => paused.rows.find(({ _id }) => _id === queue))).toMatchObject({
      reason: 'maintenance',
    })
    await client.controlQueue({ queue, action: 'resume' })
    await eventually(() => paused.rows.every(({ _id }) => _id !== queue))
  })

  test('a key that is limited to a queue controls, edits and sees that queue alone', async () => {
    const { queue, runner } = await open()
    const { token } = await keys().create({ name: 'limited', scopes: ['read', 'write', 'control'], queues: [queue] })
    const client = fleet.client(runner.url!, { token })
    const later = new Date(Date.now() + 3_600_000)
    const [mine, other] = [
      await fleet.post([], { queue, runAt: later }),
      await fleet.post([], { queue: ownQueue(), runAt: later }),
    ]
    const ids = [mine._id.toHexString(), other._id.toHexString()]
    expect(await client.pause({ filter: {} })).toMatchObject({ matched: 1, changed: 1 })
    await expect(client.cancel({ ids })).rejects.toMatchObject({ code: 'QUEUE_NOT_ALLOWED' })
    await expect(client.explain(ids[1]!)).rejects.toMatchObject({ code: 'QUEUE_NOT_ALLOWED' })
    await expect(client.taskLog({ id: ids[1]! })).rejects.toMatchObject({ code: 'QUEUE_NOT_ALLOWED' })
    await expect(client.audit()).rejects.toMatchObject({ code: 'FORBIDDEN' })
    await expect(client.edit({ id: ids[0]!, changes: { queue: 'elsewhere' } })).rejects.toMatchObject({
      code: 'QUEUE_NOT_ALLOWED',
    })
    await expect(client.controlWorker({ worker: runner.id, action: 'drain' })).rejects.toMatchObject({
      code: 'FORBIDDEN',
    })
    await expect(client.controlQueue({ queue: 'elsewhere', action: 'pause' })).rejects.toMatchObject({
      code: 'QUEUE_NOT_ALLOWED',
    })
    await expect(client.subscribe({ collection: 'errors' }, () => undefined)).rejects.toMatchObject({
      code: 'FORBIDDEN',
    })
    expect((await client.coverage()).reduce((sum, { waiting }) => sum + waiting, 0)).toBe(0)
    await client.resume({ filter: {} })
    expect((await client.coverage()).reduce((sum, { waiting }) => sum + waiting, 0)).toBe(1)
  })

  test('an enqueue that is sent twice is one task', async () => {
    const { queue, client } = await open()
    const request = { _id: '5'.repeat(24), name: 'scripted', input: { steps: [] }, queue }
    const [first, second] = await Promise.all([client.enqueue(request), client.enqueue(request)])
    expect(first._id).toBe(second._id)
    expect(await fleet.fleet.tasks.countDocuments({ queue })).toBe(1)
  })

  test.each([
    ['cancel', {}, 'BAD_REQUEST'],
    ['cancel', { id: missing, ids: [missing] }, 'BAD_REQUEST'],
    ['pause', { ids: 'all' }, 'BAD_REQUEST'],
    ['pause', { id: { $ne: null } }, 'BAD_ID'],
    ['resume', { filter: { $where: '1' } }, 'BAD_FILTER'],
    ['retry', { id: missing }, 'NOT_FOUND'],
    ['reprioritise', { id: missing }, 'BAD_REQUEST'],
    ['reprioritise', { id: missing, priority: 11 }, 'OUT_OF_RANGE'],
    ['replay', { ids: [missing], input: {} }, 'BAD_REQUEST'],
    ['edit', { id: missing, changes: { priority: 3 } }, 'NOT_FOUND'],
    ['taskLog', { id: missing, limit: 0 }, 'BAD_REQUEST'],
    ['markError', { fingerprint: 'x', state: 'gone' }, 'BAD_REQUEST'],
    ['markError', { fingerprint: 'x', state: 'resolved' }, 'NOT_FOUND'],
    ['controlWorker', { worker: 'x', action: 'explode' }, 'BAD_REQUEST'],
    ['controlQueue', { queue: '../x', action: 'pause' }, 'BAD_QUEUE'],
  ])('%s %j is refused with %s', async (event, request, code) => {
    const { runner } = await open()
    const { token } = await keys().create({ name: 'boss', scopes: ['read', 'write', 'control'] })
    const socket = await connect(fleet, runner.url!, token)
    expect(codeOf(await ask(socket, event, request))).toBe(code)
    expect(codeOf(await ask(socket, 'coverage', {}))).toBe('ok')
  })
})
