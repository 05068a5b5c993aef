import { KeyStore, type TaskDocument } from '@taskfleet/core'
import type { LogLine, TaskSnapshot, TicketAnswer } from '@taskfleet/protocol'
import { scriptedInput } from '@taskfleet/testkit/fleet/scripted-task'
import {
  ask,
  asked,
  codeOf,
  connect,
  LOOPBACK,
  next,
  open,
  ownQueue,
  refusal,
  startGateway,
} from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { defineTask } from '@taskfleet/worker'
import { SignJWT } from 'jose'
import type { Socket } from 'socket.io-client'
import { describe, expect, test } from 'vitest'

/** Everything that a task's socket says, from before it is connected. */
function listen(socket: Socket): [string, unknown][] {
  const heard: [string, unknown][] = []
  socket.onAny((event: string, body: unknown) => heard.push([event, body]))
  return heard
}

const bodies = <T>(heard: [string, unknown][], event: string): T[] =>
  heard.filter(([name]) => name === event).map(([, body]) => body as T)

/** Answers the message `finish first`. */
let answerLate: (answer: string) => void

/** A handler that does what its socket tells it. */
const told = defineTask({
  name: 'told',
  input: scriptedInput,
  async run({ task, progress, log, socket, signal }) {
    const ended = new Promise<unknown>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
      socket.on('finish', (output) => resolve(output))
      socket.on('finish first', () => {
        resolve(null)
        return new Promise((answer) => {
          answerLate = answer
        })
      })
      socket.on('finish, never answer', () => {
        resolve(null)
        return new Promise(() => undefined)
      })
    })
    socket.on('say', (data) => {
      log.info(String(data))
      progress({ done: 1, total: 4, message: String(data) })
      socket.emit('said', { data })
      return { heard: data, attempt: task.attempt }
    })
    socket.on('cycle', () => {
      const cycle: { self?: unknown } = {}
      cycle.self = cycle
      return cycle
    })
    socket.on('emit', () => socket.emit('invalid', { at: new Date(Number.NaN) }))
    socket.on('fail', () => {
      throw new Error('a secret of the handler')
    })
    log.info('first line')
    progress({ done: 1, total: 10, unit: 'bytes' })
    const timer = setInterval(() => progress({ done: performance.now(), total: 1e12 }), 2)
    try {
      return await ended
    } finally {
      clearInterval(timer)
    }
  },
})

describe('a task socket', () => {
  const fleet = useFleet()

  const started = async (): Promise<{ task: TaskDocument; id: string; publicUrl: string; url: string }> => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, listen: LOOPBACK, tasks: [told] })
    const task = await fleet.fleet.enqueue(told, { steps: [] }, { queue })
    const id = task._id.toHexString()
    await eventually(() => (runner.attempt(id)?.snapshot().log.length ?? 0) > 0)
    const { publicUrl } = await fleet.until(task._id, (now) => now.publicUrl !== undefined)
    return { task, id, publicUrl: publicUrl!, url: runner.url! }
  }

  /** The protocol is the same straight and by the relay. */
  const ways: [string, (running: { id: string; publicUrl: string }) => Promise<string>][] = [
    ['straight', async ({ publicUrl }) => publicUrl],
    [
      "by another gateway's relay",
      async ({ id }) => {
        const gateway = await startGateway(fleet)
        const ticket = await asked<TicketAnswer>(await connect(fleet, gateway.url!), 'taskTicket', { id })
        return ticket.relayUrl
      },
    ],
  ]

  test.each(ways)('tells what was, what is and how it ends, and carries messages: %s', async (_way, address) => {
    const running = await started()
    const socket = open(await address(running))
    fleet.cleanup(() => socket.disconnect())
    const heard = listen(socket)
    await eventually(() => heard.length > 0)
    const [snapshot] = bodies<TaskSnapshot>(heard, 'snapshot')
    expect(snapshot).toMatchObject({
      task: { _id: running.id, status: 'running', attempt: 1, publicUrl: running.publicUrl },
      log: [{ seq: 1, level: 'info', message: 'first line' }],
    })
    expect(snapshot!.progress).not.toBeNull()
    expect(JSON.stringify(snapshot)).not.toContain('lease')

    const from = performance.now()
    const before = bodies(heard, 'progress').length
    const since = () => bodies(heard, 'progress').length - before
    await eventually(() => performance.now() - from > 1_000 && since() >= 4)
    // Ten a second, with one under way at either end.
    expect(since()).toBeLessThanOrEqual((performance.now() - from) / 100 + 2)

    expect(await ask(socket, 'message', { name: 'say', data: 'hello' })).toEqual({
      ok: true,
      data: { heard: 'hello', attempt: 1 },
    })
    await eventually(() => bodies<LogLine>(heard, 'log').some(({ message }) => message === 'hello'))
    expect(bodies(heard, 'event')).toEqual([{ name: 'said', data: { data: 'hello' } }])
    expect(bodies<LogLine>(heard, 'log').map(({ seq }) => seq)).toEqual([2])

    const answers = [
      await ask(socket, 'message', { name: 'dance' }),
      await ask(socket, 'message', { name: 7 }),
      await ask(socket, 'message', { name: 'fail' }),
      await ask(socket, 'message', { name: 'cycle' }),
      await ask(socket, 'message', { name: 'emit' }),
      await ask(socket, 'progress', { done: 9 }),
      await ask(socket, 'complete', { output: 'forged' }),
      await ask(socket, 'message'),
    ]
    expect(answers.map(codeOf)).toEqual([
      'NO_SUCH_MESSAGE',
      'BAD_REQUEST',
      'INTERNAL',
      'BAD_ANSWER',
      'ok',
      'BAD_REQUEST',
      'BAD_REQUEST',
      'BAD_REQUEST',
    ])
    expect(JSON.stringify(answers)).not.toContain('secret')
    socket.emit('message', { name: 'say', data: 1 }, 5)
    socket.emit('cancel')

    const closed = next(socket, 'disconnect')
    const finished = await ask(socket, 'message', { name: 'finish', data: { answer: 42 } })
    expect(codeOf(finished)).toBe('ok')
    await closed
    expect(bodies(heard, 'end')).toEqual([{ status: 'completed', output: { answer: 42 } }])
    expect(heard.at(-1)?.[0]).toBe('end')
  })

  test.each(ways)('cancels the task, and pauses it: %s', async (_way, address) => {
    for (const [verb, status] of [
      ['cancel', 'cancelled'],
      ['pause', 'paused'],
    ] as const) {
      const running = await started()
      const socket = open(await address(running))
      fleet.cleanup(() => socket.disconnect())
      const heard = listen(socket)
      await eventually(() => heard.length > 0)
      const closed = next(socket, 'disconnect')
      expect(codeOf(await ask(socket, verb, { reason: 'enough' }))).toBe('ok')
      await closed
      expect(bodies(heard, 'end')).toMatchObject([{ status }])
      const now = await fleet.until(running.task._id, (task) => task.status === status)
      expect(now.attempts.at(-1)).toMatchObject({ outcome: status })
    }
  })

  test.each(ways)('answers a message though the task ends meanwhile: %s', async (_way, address) => {
    const finish = async (name: string) => {
      const socket = open(await address(await started()))
      fleet.cleanup(() => socket.disconnect())
      const heard = listen(socket)
      await eventually(() => heard.length > 0)
      const closed = next(socket, 'disconnect')
      return { heard, answer: ask(socket, 'message', { name }), closed }
    }
    const first = await finish('finish first')
    await eventually(() => bodies(first.heard, 'end').length > 0)
    answerLate('finished')
    expect(await first.answer).toEqual({ ok: true, data: 'finished' })
    await first.closed
    // A handler that never answers does not keep the connection.
    const never = await finish('finish, never answer')
    never.answer.catch(() => undefined)
    await never.closed
  })

  test('returns where a task is that is not here, or how it ended', async () => {
    const running = await started()
    const elsewhere = await startGateway(fleet)
    const there = await refusal(open(`${elsewhere.url}/tasks/${running.id}`))
    expect(there?.data).toEqual({ code: 'TASK_NOT_HERE', status: 'running', publicUrl: running.publicUrl })
    const socket = await connect(fleet, running.publicUrl)
    const closed = next(socket, 'disconnect')
    socket.emit('message', { name: 'finish', data: null }, () => undefined)
    await closed
    await fleet.ended(running.task._id)
    await eventually(async () => {
      const gone = await refusal(open(running.publicUrl))
      return (
        gone?.data?.status === 'completed' && gone.data.code === 'TASK_NOT_HERE' && gone.data.publicUrl === undefined
      )
    })
    const never = await refusal(open(`${running.url}/tasks/${'0'.repeat(24)}`))
    expect(never?.data).toEqual({ code: 'TASK_NOT_HERE' })
  })

  test('a relay connects only to registered addresses of workers', async () => {
    const running = await started()
    const trap = await startGateway(fleet)
    const relay = await startGateway(fleet)
    const tasks = fleet.database.db.collection('tasks')
    const { port } = new URL(running.url)
    for (const publicUrl of [
      `${trap.url}/tasks/${running.id}`,
      `http://127.0.0.1:${port}1/tasks/${running.id}`,
      `${running.url}/`,
      `${running.url}/tasks/${'0'.repeat(24)}`,
      'javascript:alert(1)',
    ]) {
      await tasks.updateOne({ _id: running.task._id }, { $set: { publicUrl } })
      const refused = await refusal(open(`${relay.url}/relay/${running.id}`))
      expect(refused?.data).toEqual({ code: 'TASK_NOT_HERE', status: 'running' })
    }
    expect(trap.load.connections).toBe(0)
  })

  test('a relay disconnects from the worker when its client has left, even before it was accepted', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, tasks: [told] })
    const task = await fleet.fleet.enqueue(told, { steps: [] }, { queue })
    const id = task._id.toHexString()
    await eventually(() => runner.attempt(id))
    const worker = await startGateway(fleet, { runner })
    const workers = fleet.database.db.collection<{ _id: string; url: string; state: string }>('workers')
    await workers.insertOne({ _id: 'by-hand', url: worker.url!, state: 'running' })
    const tasks = fleet.database.db.collection('tasks')
    await tasks.updateOne({ _id: task._id }, { $set: { publicUrl: `${worker.url}/tasks/${id}` } })
    const relay = await startGateway(fleet)
    const sockets = Array.from({ length: 20 }, () => open(`${relay.url}/relay/${id}`))
    await Promise.all(
      sockets.map(async (socket, index) => {
        // Every other one leaves as soon as the line is open, before it has been let in.
        await (index % 2 === 0 ? lineOpen(socket) : refusal(socket))
        socket.io.engine.close()
      }),
    )
    await eventually(() => relay.load.connections === 0 && worker.load.connections === 0)
    await workers.deleteOne({ _id: 'by-hand' })
  })
})

const lineOpen = (socket: Socket): Promise<void> => new Promise((resolve) => socket.io.once('open', () => resolve()))

describe('a task socket of a locked fleet', () => {
  const fleet = useFleet()

  test('takes only a ticket for this attempt of this task', async () => {
    const keys = new KeyStore(fleet.database.db)
    const { token: key } = await keys.create({ name: 'all', scopes: ['admin'] })
    const { token: readerKey } = await keys.create({ name: 'reader', scopes: ['read'] })
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, listen: LOOPBACK })
    const gateway = await connect(fleet, runner.url!, key)
    const running = await fleet.post([{ do: 'fail', times: 1 }, { do: 'waitForAbort' }], { queue, maxAttempts: 9 })
    const other = await fleet.post([{ do: 'waitForAbort' }], { queue })
    await fleet.until(running._id, ({ status, attempt }) => status === 'running' && attempt === 2)
    await eventually(() => runner.attempt(running._id.toHexString())?.claim.task.attempt === 2)
    await fleet.runsAt(runner, other)
    const id = running._id.toHexString()
    const ticket = (of: TaskDocument, from = gateway): Promise<TicketAnswer> =>
      asked<TicketAnswer>(from, 'taskTicket', { id: of._id.toHexString() })
    const { publicUrl, relayUrl, token } = await eventually(async () => {
      const answer = await ticket(running)
      return answer.publicUrl !== undefined && { ...answer, publicUrl: answer.publicUrl }
    })
    const secret = await keys.ticketSecret()
    const forge = (attempt: number, expires: string, signedBy: Uint8Array = secret, kid?: string): Promise<string> =>
      new SignJWT({ scopes: ['admin'] })
        .setProtectedHeader({ alg: 'HS256', ...(kid === undefined ? {} : { kid }) })
        .setIssuer('taskfleet')
        .setSubject('x')
        .setAudience(`task:${id}:${attempt}`)
        .setExpirationTime(expires)
        .sign(signedBy)
    const [, payload] = token.split('.')
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`
    const cases: [string, string | undefined, string][] = [
      ['no token', undefined, 'UNAUTHENTICATED'],
      ['nonsense', 'nonsense', 'UNAUTHENTICATED'],
      ['a key', key, 'WRONG_AUDIENCE'],
      ["another task's ticket", (await ticket(other)).token, 'WRONG_AUDIENCE'],
      ['the last attempt', await forge(1, '5m'), 'STALE_ATTEMPT'],
      ['expired', await forge(2, '-61s'), 'TOKEN_EXPIRED'],
      ['for a year', await forge(2, '1y'), 'UNAUTHENTICATED'],
      ['of a process with a secret', await forge(2, '5m', secret, 'another'), 'SECRET_MISMATCH'],
      ['signed with another secret', await forge(2, '5m', Buffer.alloc(32, 7)), 'UNAUTHENTICATED'],
      ['signed by nobody', none, 'UNAUTHENTICATED'],
    ]
    for (const address of [publicUrl, relayUrl]) {
      const got: [string, string | undefined][] = []
      for (const [what, bad] of cases) got.push([what, (await refusal(open(address, bad)))?.data?.code])
      expect(got).toEqual(cases.map(([what, , code]) => [what, code]))
    }
    expect((await refusal(open(`${runner.url}/tasks/${'0'.repeat(24)}`)))?.data).toEqual({ code: 'UNAUTHENTICATED' })

    const reader = await connect(fleet, runner.url!, readerKey)
    const watching = await connect(fleet, publicUrl, (await ticket(running, reader)).token)
    expect(codeOf(await ask(watching, 'cancel', {}))).toBe('FORBIDDEN')
    expect(codeOf(await ask(watching, 'message', { name: 'echo' }))).toBe('FORBIDDEN')
    const working = await connect(fleet, relayUrl, token)
    expect(await ask(working, 'message', { name: 'echo', data: 'x' })).toEqual({ ok: true, data: 'x' })
    const closed = next(working, 'disconnect')
    expect(codeOf(await ask(working, 'cancel', {}))).toBe('ok')
    const record = (await fleet.fleet.audit.list()).map(({ by, action, refused }) => ({ by, action, refused }))
    expect(record).toContainEqual({ by: expect.any(String), action: 'task cancel', refused: 'FORBIDDEN' })
    expect(record).toContainEqual({ by: expect.any(String), action: 'cancel', refused: undefined })
    await closed
    await fleet.ended(running._id)
    const late = await eventually(async () => {
      const { data } = (await refusal(open(publicUrl, token))) ?? {}
      return data?.status === 'cancelled' && data
    })
    expect(late).toEqual({ code: 'TASK_NOT_HERE', status: 'cancelled' })
  })
})
