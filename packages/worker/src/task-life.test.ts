import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TaskDocument } from '@taskfleet/core'
import { type ErrorRow, SnoozeError } from '@taskfleet/protocol'
import { scriptedTask } from '@taskfleet/testkit/fleet/scripted-task'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'

const fleet = useFleet()
const control = () => fleet.fleet.control()
const anything = z.object({}).loose()
const soon = (ms: number): Date => new Date(Date.now() + ms)
/** A gate that no machine gets through, and one that every machine does. */
const CLOSED = {
  memoryLeft: { lazy: 0.9999, all: null, margin: 0 },
  cpu: { lazy: null },
  eventLoopDelayMs: { lazy: null, all: null },
}
const find = async (task: { _id: TaskDocument['_id'] }): Promise<TaskDocument> =>
  (await fleet.fleet.store.find(task._id))!

describe('deadlines', () => {
  test('near it a waiting task is raised; when it has passed, the event is emitted once, even if no worker serves the task', async () => {
    const queue = ownQueue()
    const [one, other] = [await fleet.runner({ queue }), await fleet.runner({ queue })]
    const told: string[] = []
    for (const runner of [one, other]) runner.on('deadline', ({ task }) => told.push(task._id))
    // Such tasks take two seconds: that long before its deadline it is raised.
    await fleet.fleet.durations.add(new Map([['unserved', Array.from({ length: 5 }, () => 2_000)]]))
    const unserved = defineTask({ name: 'unserved', input: anything, run: () => null })
    const task = await fleet.fleet.enqueue(unserved, {}, { queue: ownQueue(), priority: 2, deadline: soon(3_000) })
    await fleet.until(task._id, ({ priority }) => priority === 8)
    const missed = await fleet.until(task._id, ({ priority }) => priority === 10)
    expect(missed.deadlineMissedAt! >= missed.deadline!).toBe(true)
    await eventually(() => told.length > 0)
    expect(told).toEqual([task._id.toHexString()])
  })

  test('near means the recent duration of such tasks', async () => {
    await fleet.fleet.durations.add(new Map([['slow', [60_000, 60_000, 60_000, 60_000, 90_000]]]))
    const slow = defineTask({ name: 'slow', input: anything, run: () => null })
    const task = await fleet.fleet.enqueue(slow, {}, { queue: ownQueue(), deadline: soon(600_000) })
    expect(+task.deadline! - +task.raiseAt!).toBe(90_000)
  })

  test('a worker learns how long tasks take', async () => {
    const queue = ownQueue()
    const name = 'measured'
    const runner = await fleet.runner({ queue, tasks: [scriptedTask({ name })] })
    for (let n = 0; n < 5; n += 1) {
      const task = await fleet.fleet.enqueue(scriptedTask({ name }), { steps: [{ do: 'sleep', ms: 30 }] }, { queue })
      await fleet.ended(task._id)
    }
    await runner.stop()
    expect(await fleet.fleet.durations.lead(name)).toBeGreaterThanOrEqual(29)
  })
})

describe('failing', () => {
  test("the handler's own back-off decides, within its cap; a faulty one gives way to the usual", async () => {
    const queue = ownQueue()
    const own = (name: string, delay: (failures: number, error: unknown) => number) =>
      defineTask({
        name,
        input: anything,
        retry: { maxAttempts: 2, backoff: { delay, cap: 3_000, jitter: false } },
        run: () => Promise.reject(new Error('as always')),
      })
    const seen: unknown[] = []
    const tasks = [
      own('own', (failures, error) => {
        seen.push([failures, (error as Error).message])
        return 60_000
      }),
      own('faulty', () => {
        throw new Error('no idea')
      }),
    ]
    const runner = await fleet.runner({ queue, tasks })
    const delays = new Map<string, number>()
    const both = eventually(() => delays.size === 2)
    runner.on('retry', ({ task, delayMs }) => delays.set(task.name, delayMs))
    for (const task of tasks) await fleet.fleet.enqueue(task, {}, { queue })
    await both
    expect(delays.get('own')).toBe(3_000)
    expect(seen).toEqual([[1, 'as always']])
    expect(delays.get('faulty')).toBeLessThanOrEqual(1_000)
  })

  test('a task whose failures cost nothing keeps its priority', async () => {
    const queue = ownQueue()
    const steady = defineTask({
      name: 'steady',
      input: anything,
      retry: { maxAttempts: 3, decay: false, backoff: { kind: 'fixed', base: 5, jitter: false } },
      run: () => Promise.reject(new Error('no')),
    })
    await fleet.runner({ queue, tasks: [steady] })
    const task = await fleet.fleet.enqueue(steady, {}, { queue, priority: 6 })
    expect(await fleet.ended(task._id)).toMatchObject({ status: 'failed', priority: 6, failures: 3 })
  })

  test('a time limit for the whole task counts every attempt', async () => {
    const queue = ownQueue()
    const slow = defineTask({
      name: 'slowAndFlaky',
      input: anything,
      totalTimeout: 4_000,
      retry: { maxAttempts: 50, backoff: { kind: 'fixed', base: 50, jitter: false } },
      run: async ({ task, signal }) => {
        if (task.attempt === 1) throw new Error('again')
        await once(signal, 'abort')
        signal.throwIfAborted()
      },
    })
    await fleet.runner({ queue, tasks: [slow] })
    const ended = await fleet.ended((await fleet.fleet.enqueue(slow, {}, { queue }))._id)
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'TASK_TIMED_OUT' } })
    expect(ended.attempt).toBe(2)
  })

  test('a snoozed task waits again, and that is no failure', async () => {
    const queue = ownQueue()
    const sleepy = defineTask({
      name: 'sleepy',
      input: anything,
      run: ({ task }) => {
        if (task.attempt < 3) throw new SnoozeError(20)
        return 'awake'
      },
    })
    await fleet.runner({ queue, tasks: [sleepy] })
    const ended = await fleet.ended((await fleet.fleet.enqueue(sleepy, {}, { queue }))._id)
    expect(ended).toMatchObject({ status: 'completed', output: 'awake', failures: 0, attempt: 3, priority: 5 })
    expect(ended.attempts.map(({ outcome }) => outcome)).toEqual(['snoozed', 'snoozed', 'completed'])
  })
})

describe('the report on errors', () => {
  test('failures of one error are one group, reported once in a period, and open again when they come back', async () => {
    const queue = ownQueue()
    const told: ErrorRow[] = []
    const posted: { body: string; signature: string }[] = []
    // The first answer is a failure of its own: it is tried again.
    const server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => (body += String(chunk)))
      request.on('end', () => {
        posted.push({ body, signature: String(request.headers['taskfleet-signature']) })
        response.writeHead(posted.length === 1 ? 503 : 204).end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    fleet.cleanup(() => server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
    const broken = defineTask({
      name: 'broken',
      version: 2,
      input: z.object({ n: z.number() }),
      retry: { maxAttempts: 1 },
      run: ({ input }) => Promise.reject(new TypeError(`item ${input.n} of "${input.n}.txt" is not there`)),
    })
    const recurringErrors = {
      threshold: 3,
      period: '1h' as const,
      onRecurringError: (error: ErrorRow) => told.push(error),
      webhook: { url, secret: 'shared' },
    }
    const runners = [
      await fleet.runner({ queue, tasks: [broken], recurringErrors }),
      await fleet.runner({ queue, tasks: [broken], recurringErrors }),
    ]
    const fail = async (count: number): Promise<TaskDocument[]> => {
      const tasks = await Promise.all(
        Array.from({ length: count }, (_, n) => fleet.fleet.enqueue(broken, { n }, { queue })),
      )
      return Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
    }
    const failed = await fail(7)
    const fingerprint = failed[0]!.error!.fingerprint
    expect(new Set(failed.map(({ error }) => error!.fingerprint)).size).toBe(1)
    const counted = (count: number) =>
      eventually(async () => {
        const group = await fleet.fleet.errors.find(fingerprint)
        return group?.count === count && group
      })
    expect(await counted(7)).toMatchObject({
      state: 'open',
      tasks: ['broken'],
      versions: ['broken@2'],
      name: 'TypeError',
      reopened: 0,
      trend: [{ count: 7 }],
    })
    await eventually(() => posted.length === 2)
    expect(told).toMatchObject([{ _id: fingerprint, state: 'open' }])
    const { body, signature } = posted[1]!
    const [, seconds, hex] = /^t=(\d+),v1=([0-9a-f]+)$/.exec(signature)!
    expect(createHmac('sha256', 'shared').update(`${seconds}.${body}`).digest('hex')).toBe(hex)
    expect(JSON.parse(body)).toMatchObject({ event: 'recurringError', error: { _id: fingerprint } })

    await control().markError({ fingerprint, state: 'resolved' })
    await fail(1)
    expect(await counted(8)).toMatchObject({ state: 'open', reopened: 1 })
    await eventually(() => told.length === 2)

    await control().markError({ fingerprint, state: 'ignored', until: soon(60_000).toISOString() })
    await fail(1)
    expect(await counted(9)).toMatchObject({ state: 'ignored' })
    await control().markError({ fingerprint, state: 'ignored', until: soon(-1).toISOString() })
    await fail(1)
    expect(await counted(10)).toMatchObject({ state: 'open', reopened: 2 })

    const retried = await control().retry({ filter: { 'error.fingerprint': fingerprint, status: 'failed' } })
    expect(retried).toMatchObject({ matched: 10, changed: 10, refused: [] })
    await Promise.all(runners.map((runner) => runner.stop()))
  })

  test('a lost worker counts as well', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue: ownQueue() })
    const task = await fleet.post([], { queue })
    await fleet.fleet.store.claim([task._id], { worker: 'gone', host: 'h' })
    const lost = await fleet.until(task._id, ({ status }) => status === 'pending')
    expect(
      await eventually(async () => (await fleet.fleet.errors.find(lost.error!.fingerprint)) ?? false),
    ).toMatchObject({
      code: 'WORKER_LOST',
    })
  })
})

describe('control', () => {
  test('a paused task keeps its checkpoint and goes on from it on another worker', async () => {
    const queue = ownQueue()
    const resumable = defineTask({
      name: 'resumable',
      input: anything,
      run: async ({ checkpoint, signal, task }) => {
        if (checkpoint.state === undefined) {
          await checkpoint.save({ half: true })
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        }
        return { from: checkpoint.state, worker: task.worker }
      },
    })
    const first = await fleet.runner({ queue, tasks: [resumable] })
    const task = await fleet.fleet.enqueue(resumable, {}, { queue })
    const id = task._id.toHexString()
    await fleet.until(task._id, ({ checkpoint }) => checkpoint !== undefined)
    expect(await control().pause({ id, reason: 'lunch' })).toMatchObject({ matched: 1, changed: 1 })
    const paused = await fleet.until(task._id, ({ status }) => status === 'paused')
    expect(paused.attempts).toMatchObject([{ outcome: 'paused' }])
    await first.stop()
    const second = await fleet.runner({ queue, tasks: [resumable] })
    await control().resume({ id })
    const ended = await fleet.ended(task._id)
    expect(ended).toMatchObject({ output: { from: { half: true }, worker: second.id }, failures: 0, attempt: 2 })
  })

  test('a handler that ignores its cancel loses its slot after the grace, and its late writes match nothing', async () => {
    const queue = ownQueue()
    const late: unknown[] = []
    let goOn: (() => void) | undefined
    const stubborn = defineTask({
      name: 'stubborn',
      input: anything,
      run: async ({ checkpoint }) => {
        await new Promise<void>((resolve) => {
          goOn = resolve
        })
        await checkpoint.save('too late').catch((error: { code?: string }) => late.push(error.code))
      },
    })
    await fleet.runner({ queue, tasks: [stubborn, scriptedTask()], concurrency: 1, abortGrace: 50 })
    const task = await fleet.fleet.enqueue(stubborn, {}, { queue })
    await eventually(() => goOn !== undefined)
    await control().cancel({ id: task._id.toHexString(), reason: 'enough' })
    expect(await fleet.ended(task._id)).toMatchObject({ status: 'cancelled' })
    const next = await fleet.post([], { queue })
    await fleet.ended(next._id)
    goOn?.()
    await eventually(() => late.length > 0)
    expect(late).toEqual(['LEASE_LOST'])
    expect((await find(task)).checkpoint).toBeUndefined()
  })

  test('a replay is a new task from an ended one, with its input or another', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue })
    const task = await fleet.post([{ do: 'return', value: 1 }], { queue, priority: 7 })
    await fleet.ended(task._id)
    const id = task._id.toHexString()
    const same = await control().replay({ id })
    expect(same).toMatchObject({ matched: 1, changed: 1 })
    const again = await eventually(
      async () => (await fleet.fleet.tasks.findOne({ replayOf: task._id, status: 'completed' })) ?? false,
    )
    expect(again).toMatchObject({ output: 1, priority: 7, queue })
    expect(same.tasks).toEqual([again._id.toHexString()])
    const edited = await control().replay({ id, input: { steps: [{ do: 'return', value: 2 }] } })
    const other = await eventually(async () => {
      const made = await fleet.fleet.tasks.findOne({ replayOf: task._id, status: 'completed', output: 2 })
      return made ?? false
    })
    expect(edited.tasks).toEqual([other._id.toHexString()])
    const running = await fleet.post([{ do: 'waitForAbort' }], { queue })
    await fleet.until(running._id, ({ status }) => status === 'running')
    const refused = await control().replay({ id: running._id.toHexString() })
    expect(refused).toMatchObject({ changed: 0, refused: [{ error: { code: 'NOT_ENDED' } }] })
  })

  test('a command with a filter counts first, changes the tasks, and reports the refused ones', async () => {
    const queue = ownQueue()
    const waiting = await Promise.all(Array.from({ length: 12 }, () => fleet.post([], { queue })))
    const filter = { queue }
    expect(await control().pause({ filter, dryRun: true })).toEqual({ matched: 12, changed: 0, refused: [] })
    expect((await find(waiting[0]!)).status).toBe('pending')
    expect(await control().pause({ filter })).toMatchObject({ matched: 12, changed: 12 })
    expect(await control().reprioritise({ filter, priority: 'high' })).toMatchObject({ changed: 12 })
    expect(await control().resume({ filter })).toMatchObject({ changed: 12 })
    expect(await find(waiting[3]!)).toMatchObject({ status: 'pending', priority: 8 })
    expect(await control().cancel({ filter })).toMatchObject({ changed: 12 })
    expect(await control().cancel({ ids: waiting.map(({ _id }) => _id.toHexString()) })).toMatchObject({
      matched: 12,
      refused: [],
    })
    expect(await control().retry({ filter })).toMatchObject({ changed: 12 })
    expect(await control().retry({ id: waiting[0]!._id.toHexString() })).toMatchObject({ changed: 0, refused: [] })
    const actions = (await control().audit({ id: waiting[0]!._id.toHexString() })).map(({ action }) => action)
    expect(actions).toEqual(['retry', 'cancel', 'resume', 'reprioritise', 'pause'])
  })

  test('an edit names the revision that it was made for', async () => {
    const task = await fleet.post([], { queue: ownQueue() })
    const id = task._id.toHexString()
    const edited = await control().edit({ id, rev: task.rev, changes: { priority: 9 } })
    expect(edited).toMatchObject({ priority: 9, rev: task.rev + 1 })
    await expect(control().edit({ id, rev: task.rev, changes: { priority: 1 } })).rejects.toMatchObject({
      code: 'REV_CONFLICT',
    })
    await expect(control().edit({ id, changes: { status: 'completed' } as never })).rejects.toMatchObject({
      code: 'READ_ONLY_FIELD',
    })
    await control().cancel({ id })
    await expect(control().edit({ id, changes: { priority: 1 } })).rejects.toMatchObject({ code: 'NOT_WAITING' })
  })

  test('no task of a paused queue is claimed, by an old or a new worker, until it is resumed', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue })
    await control().controlQueue({ queue, action: 'pause', reason: 'maintenance' })
    const task = await fleet.post([], { queue })
    await fleet.runner({ queue })
    const explanation = await control().explain(task._id.toHexString())
    expect(explanation).toMatchObject({ willRun: false, reasons: [{ code: 'QUEUE_PAUSED' }] })
    expect(explanation.reasons[0]!.message).toContain('maintenance')
    const idle = await fleet.runner({ queue: ownQueue() })
    await idle.stop()
    expect((await find(task)).status).toBe('pending')
    await control().controlQueue({ queue, action: 'resume' })
    expect(await fleet.ended(task._id)).toMatchObject({ status: 'completed' })
  })

  test('a worker that is drained from elsewhere finishes its tasks and claims no new ones until it is resumed', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue })
    const running = await fleet.post([{ do: 'waitForAbort' }], { queue })
    await fleet.runsAt(runner, running)
    await control().controlWorker({ worker: runner.id, action: 'drain' })
    await eventually(async () => (await fleet.fleet.workers.find(runner.id))?.state === 'draining')
    const next = await fleet.post([], { queue })
    expect((await control().explain(next._id.toHexString())).reasons).toMatchObject([{ code: 'NOT_SERVED' }])
    expect((await find(running)).status).toBe('running')
    await control().controlWorker({ worker: runner.id, action: 'resume' })
    expect(await fleet.ended(next._id)).toMatchObject({ status: 'completed' })
  })
})

describe('the load gate', () => {
  test('lazy tasks wait while it is closed, others run, and the reason is shown', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, thresholds: CLOSED, heartbeatMs: 100 })
    const lazy = await fleet.post([], { queue, lazy: true, priority: 10 })
    const eager = await fleet.post([], { queue, priority: 1 })
    expect(await fleet.ended(eager._id)).toMatchObject({ status: 'completed' })
    expect((await find(lazy)).status).toBe('pending')
    const { gate } = await eventually(async () => {
      const worker = await fleet.fleet.workers.find(runner.id)
      return worker?.gate?.lazy === false && worker
    })
    expect(gate).toMatchObject({ open: true, lazy: false, reason: expect.stringContaining('memory') })
    expect(await control().explain(lazy._id.toHexString())).toMatchObject({
      willRun: true,
      reasons: [{ code: 'GATE_CLOSED', message: expect.stringContaining('memory') }],
    })
    await fleet.runner({ queue, thresholds: { ...CLOSED, memoryLeft: { lazy: null, all: null } } })
    expect(await fleet.ended(lazy._id)).toMatchObject({ status: 'completed' })
  })

  test('a task waits where there is too little space in the folder that its handler names', async () => {
    const queue = ownQueue()
    const hungry = defineTask({
      name: 'hungry',
      input: anything,
      disk: { folder: '/', minFree: Number.MAX_SAFE_INTEGER },
      run: () => null,
    })
    await fleet.runner({ queue, tasks: [hungry, scriptedTask()] })
    const waits = await fleet.fleet.enqueue(hungry, {}, { queue, priority: 10 })
    const runs = await fleet.post([], { queue })
    await fleet.ended(runs._id)
    expect((await find(waits)).status).toBe('pending')
  })
})

describe('work that is done outside', () => {
  const outside = defineTask({
    name: 'outside',
    input: z.object({ n: z.number() }),
    notify: true,
    retry: { maxAttempts: 1 },
  })

  test('the program around the runner gets the event, and completes or fails it with the same lease and fence', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, tasks: [outside], concurrency: 2 })
    const claimed: string[] = []
    runner.on('claimed', ({ task }) => claimed.push(task._id))
    const [good, bad] = [
      await fleet.fleet.enqueue(outside, { n: 1 }, { queue }),
      await fleet.fleet.enqueue(outside, { n: 2 }, { queue }),
    ]
    await eventually(() => claimed.length === 2)
    runner.complete(good._id.toHexString(), { doubled: 2 })
    runner.fail(bad._id.toHexString(), new Error('can not'))
    expect(await fleet.ended(good._id)).toMatchObject({ status: 'completed', output: { doubled: 2 } })
    expect(await fleet.ended(bad._id)).toMatchObject({ status: 'failed', error: { message: 'can not' } })
    expect(() => runner.complete(good._id.toHexString())).toThrow(expect.objectContaining({ code: 'NOT_RUNNING' }))
  })

  test('a cancel takes it away from the program', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, tasks: [outside] })
    const task = await fleet.fleet.enqueue(outside, { n: 1 }, { queue })
    await fleet.runsAt(runner, task)
    await control().cancel({ id: task._id.toHexString() })
    expect(await fleet.ended(task._id)).toMatchObject({ status: 'cancelled' })
    expect(() => runner.complete(task._id.toHexString())).toThrow(expect.objectContaining({ code: 'NOT_RUNNING' }))
  })
})

describe('log lines', () => {
  test('are stored in batches and can be read back page by page, over all attempts', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue })
    const chatty = Array.from({ length: 40 }, (_, n) => ({ do: 'log' as const, message: `line ${n}` }))
    const task = await fleet.post([...chatty, { do: 'fail', times: 1 }], { queue })
    await fleet.ended(task._id)
    await runner.stop()
    const id = task._id.toHexString()
    const lines = await control().taskLog({ id })
    expect(lines.map(({ attempt, seq }) => `${attempt}.${seq}`)).toEqual(
      [1, 2].flatMap((attempt) => chatty.map((_, n) => `${attempt}.${n + 1}`)),
    )
    const last = await control().taskLog({ id, limit: 5 })
    expect(last.map(({ message }) => message)).toEqual(['line 35', 'line 36', 'line 37', 'line 38', 'line 39'])
    const before = await control().taskLog({ id, limit: 5, before: { attempt: 2, seq: 3 } })
    expect(before.map(({ attempt, seq }) => `${attempt}.${seq}`)).toEqual(['1.38', '1.39', '1.40', '2.1', '2.2'])
    expect(await control().taskLog({ id, attempt: 1, limit: 1 })).toMatchObject([{ attempt: 1, seq: 40 }])
  })

  test('and progress and errors are shown and stored without the secrets that they quote', async () => {
    const queue = ownQueue()
    const url = 'https://ana:hunter2@host/file?X-Amz-Signature=hunter2'
    const fetching = defineTask({
      name: 'fetching',
      input: anything,
      retry: { maxAttempts: 1 },
      run: async ({ log, progress, signal }) => {
        log.info(`GET ${url}`)
        log.info(`${'x'.repeat(3_990)} ${url}`)
        progress({ done: 1, message: `GET ${url}` })
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        throw new Error(`GET ${url} was answered with set-cookie: sid=hunter2`)
      },
    })
    const runner = await fleet.runner({ queue, tasks: [fetching] })
    const { _id } = await fleet.fleet.enqueue(fetching, {}, { queue, timeout: '2s' })
    const id = _id.toHexString()
    const shown = await eventually(() => {
      const now = runner.attempt(id)?.snapshot()
      return now?.progress != null && now
    })
    expect(JSON.stringify(shown)).toMatch(/https:\/\/\*\*\*@host/)
    await fleet.until(_id, ({ progress }) => progress !== undefined)
    const ended = await fleet.ended(_id)
    await runner.stop()
    const stored = [ended, await control().taskLog({ id }), await fleet.fleet.errors.list({}), shown]
    expect(JSON.stringify(stored)).not.toMatch(/hunter2/)
    expect(ended.progress?.message).toBe('GET https://***@host/file?X-Amz-Signature=***')
  })

  test('are limited, and the last one counts the dropped ones', async () => {
    const queue = ownQueue()
    const flood = defineTask({
      name: 'flood',
      input: anything,
      run: ({ log }) => {
        for (let n = 0; n < 5_000; n += 1) log.info('x')
      },
    })
    const runner = await fleet.runner({ queue, tasks: [flood] })
    const task = await fleet.fleet.enqueue(flood, {}, { queue })
    await fleet.ended(task._id)
    await runner.stop()
    const lines = await control().taskLog({ id: task._id.toHexString(), limit: 2_000 })
    expect(lines).toHaveLength(1_001)
    expect(lines.at(-1)).toMatchObject({ level: 'warn', message: expect.stringContaining('4000 lines') })
  })
})

describe('versions', () => {
  test('coverage shows tasks that no worker can run, and they wait without failing', async () => {
    const queue = ownQueue()
    const name = 'covered'
    const runner = await fleet.runner({ queue, tasks: [scriptedTask({ name, version: 2 })] })
    const enqueue = (version: number) =>
      fleet.fleet.enqueue(
        scriptedTask({ name, ...(version === 1 ? {} : { version }) }),
        { steps: [{ do: 'waitForAbort' }] },
        { queue },
      )
    const [old, current, future] = [await enqueue(1), await enqueue(2), await enqueue(3)]
    await fleet.runsAt(runner, old)
    await fleet.runsAt(runner, current)
    const rows = (await control().coverage()).filter((row) => row.name === name)
    expect(rows).toMatchObject([
      { version: 3, waiting: 1, due: 1, running: 0, served: false, workers: [] },
      { version: 1, waiting: 0, running: 1, served: true, workers: [runner.name] },
      { version: 2, waiting: 0, running: 1, served: true },
    ])
    expect((await control().explain(future._id.toHexString())).reasons).toMatchObject([{ code: 'NOT_SERVED' }])
    expect(await find(future)).toMatchObject({ status: 'pending', attempt: 0 })
  })

  test('a handler without a step from an old version does not claim it', async () => {
    const queue = ownQueue()
    const name = 'noStep'
    const noStep = defineTask({
      name,
      version: 3,
      input: anything,
      upgrade: { 2: (old: object) => old },
      run: () => null,
    })
    await fleet.runner({ queue, tasks: [noStep] })
    const one = await fleet.fleet.enqueue(defineTask({ name, input: anything, run: () => null }), {}, { queue })
    const two = await fleet.fleet.enqueue(
      defineTask({ name, version: 2, input: anything, upgrade: {}, run: () => null }),
      {},
      { queue },
    )
    await fleet.ended(two._id)
    expect(await find(one)).toMatchObject({ status: 'pending', attempt: 0 })
  })
})

describe('explain', () => {
  const codes = async (task: TaskDocument): Promise<string[]> =>
    (await control().explain(task._id.toHexString())).reasons.map(({ code }) => code)

  test('names the reasons why each task waits', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, concurrency: 1, heartbeatMs: 100 })
    const busy = await fleet.post([{ do: 'waitForAbort' }], { queue })
    await fleet.runsAt(runner, busy)
    await eventually(async () => (await fleet.fleet.workers.find(runner.id))?.running === 1)
    const ahead = await fleet.post([], { queue, priority: 9 })
    const behind = await fleet.post([], { queue })
    const blocked = await fleet.post([], { queue, after: behind._id.toHexString() })
    const later = await fleet.post([], { queue, runAt: soon(3_600_000) })
    const nowhere = await fleet.post([], { queue: ownQueue() })
    expect(await codes(busy)).toEqual(['RUNNING'])
    expect(await codes(behind)).toEqual(['NO_FREE_SLOT'])
    expect((await control().explain(behind._id.toHexString())).reasons[0]).toMatchObject({
      ahead: 1,
      workers: [runner.name],
    })
    expect(await codes(blocked)).toEqual(['BLOCKED'])
    expect(await codes(later)).toEqual(['NOT_DUE'])
    expect(await codes(nowhere)).toEqual(['QUEUE_NOT_SERVED'])
    await control().pause({ id: later._id.toHexString() })
    expect(await codes(later)).toEqual(['PAUSED'])
    await control().cancel({ id: ahead._id.toHexString() })
    expect(await codes(ahead)).toEqual(['ENDED'])
    const [heard] = [once(runner, 'idle')]
    await control().cancel({ filter: { queue } })
    await heard
  })
})

test('a second task with the same key is rejected, returns the first one, or replaces it', async () => {
  const queue = ownQueue()
  const key = `key-${queue}`
  const first = await fleet.post([], { queue, key, runAt: soon(60_000) })
  await expect(fleet.post([], { queue, key })).rejects.toMatchObject({ code: 'KEY_EXISTS' })
  expect((await fleet.post([], { queue, key, keyPolicy: 'return' }))._id).toEqual(first._id)
  expect(await fleet.post([], { queue, key, keyPolicy: 'replace', priority: 9 })).toMatchObject({
    _id: first._id,
    priority: 9,
  })
})

test('retention removes ended tasks', async () => {
  const queue = ownQueue()
  await fleet.fleet.retention.set({ completed: 60_000, failed: null })
  const runner = await fleet.runner({ queue })
  const [good, bad] = [await fleet.post([], { queue }), await fleet.post([{ do: 'fail', fatal: true }], { queue })]
  const completed = await fleet.ended(good._id)
  expect(+completed.expireAt! - +completed.finishedAt!).toBe(60_000)
  expect((await fleet.ended(bad._id)).expireAt).toBeUndefined()
  await runner.stop()
  await expect(fleet.fleet.retention.set({ completed: 5 })).rejects.toMatchObject({ code: 'OUT_OF_RANGE' })
})
