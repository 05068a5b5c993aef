import { once } from 'node:events'
import { KeyStore } from '@taskfleet/core'
import { type TaskRow, UnrecoverableError } from '@taskfleet/protocol'
import { scriptedTask } from '@taskfleet/testkit/fleet/scripted-task'
import { connect, HeldRows, ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import { Task } from './task.ts'
import { TaskFactory } from './task-factory.ts'
import { TaskRunner } from './task-runner.ts'

/** One test for each of the four systems that the idea comes from: all that it asks for, in one go. */
const fleet = useFleet()
const listen = { host: '127.0.0.1', port: 0 }
const soon = (ms: number): Date => new Date(Date.now() + ms)

test('task-runner (MongoDB, socket.io)', async () => {
  const queue = ownQueue()
  const made: Task[] = []
  class Watched extends TaskFactory<z.ZodObject<{ n: z.ZodNumber }>, number> {
    override make(...args: Parameters<TaskFactory['make']>): Task {
      made.push(super.make(...args))
      return made.at(-1)!
    }
  }
  const work = new Watched({
    name: 'work',
    input: z.object({ n: z.number() }),
    run: async ({ input, progress, signal }) => {
      progress({ done: input.n, total: 10 })
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      return 0
    },
  })
  // Persisted: stored while no worker is there, it survives until one is.
  const task = await fleet.fleet.enqueue(work, { n: 5 }, { queue })
  const hosts = [
    await fleet.runner({ queue, tasks: [work], listen }),
    await fleet.runner({ queue: ownQueue(), listen, name: 'elsewhere' }),
  ]
  // A browser at a host that does not run the task: its general status by a live query …
  const socket = await connect(fleet, hosts[1]!.url!)
  const held = await HeldRows.open(socket, { filter: { queue }, sort: { priority: -1 } })
  const row = await eventually(() => held.rows.find((one) => one.status === 'running'))
  expect(row.worker).toBe(hosts[0]!.id)
  expect(row.publicUrl).toBe(`${hosts[0]!.url}/tasks/${row._id}`)
  // … and the details at its own socket, on the host that does.
  const client = fleet.client(hosts[1]!.url!)
  const seen: number[] = []
  const watch = await client.watchTask(row._id, { onProgress: ({ ratio }) => seen.push(ratio ?? 0) })
  await eventually(() => seen.includes(0.5))
  expect(watch.source).toMatchObject({ state: 'live', via: 'direct', publicUrl: row.publicUrl })
  // Control of what runs, from there.
  await watch.cancel('seen enough')
  await eventually(() => held.rows.some((one) => one.status === 'cancelled'))
  expect(await fleet.ended(task._id)).toMatchObject({ status: 'cancelled' })
  expect(made[0]).toBeInstanceOf(Task)
  expect(made[0]!.id).toBe(row._id)
  expect(hosts[0]).toBeInstanceOf(TaskRunner)
})

test('node actions over time', async () => {
  const queue = ownQueue()
  const runs: string[] = []
  const record = defineTask({
    name: 'record',
    version: 2,
    input: z.object({ label: z.string() }),
    upgrade: { 1: (old: { text: string }) => ({ label: old.text }) },
    retry: { maxAttempts: 3, backoff: { kind: 'fixed', base: 10, jitter: false } },
    run: ({ input, log, task }) => {
      log.info(`run ${input.label}`)
      runs.push(input.label)
      if (input.label === 'failing') throw new UnrecoverableError('GONE', 'as always')
      if (input.label === 'flaky' && task.attempt < 3) throw new Error('not yet')
    },
  })
  const parent = { onRecurringError: (row: { code: string }) => told.push(row.code), threshold: 2 }
  const told: string[] = []
  const put = (label: string, options: object = {}) => fleet.fleet.enqueue(record, { label }, { queue, ...options })
  // Posted while nothing runs: what came before a crash is there after it.
  await put('low', { priority: 'low' })
  await put('medium')
  await put('high', { priority: 'high' })
  await put('front', { position: 'front' })
  await put('overdue', { runAt: new Date(Date.now() - 60_000), priority: 9 })
  const later = await put('later', { runAt: soon(700), priority: 10 })
  const atRisk = await put('at risk', { runAt: soon(3_600_000), priority: 'low', deadline: soon(400) })
  const old = await fleet.fleet.enqueue(
    defineTask({ name: 'record', input: z.object({ text: z.string() }), run: () => null }),
    { text: 'an old message' },
    { queue, priority: 1 },
  )
  const runner = new TaskRunner({
    mongo: fleet.uri,
    tasks: [record],
    queues: [queue],
    concurrency: 1,
    recurringErrors: parent,
  })
  fleet.cleanup(() => runner.stop({ grace: 0 }))
  const due: string[] = []
  runner.on('due', ({ id }) => due.push(id))
  await runner.start()
  await fleet.ended(old._id)
  // On a slow machine the date of the later one may have come meanwhile.
  const waited = runs.filter((label) => label !== 'later')
  expect(waited).toEqual(['overdue', 'high', 'front', 'medium', 'low', 'an old message'])
  // It becomes active at its date; the parent process gets an event.
  await fleet.ended(later._id)
  expect(due).toContain(later._id.toHexString())
  // A newcomer that is due before the known next one is run before it.
  const second = await put('second', { runAt: soon(2_000) })
  await put('first', { runAt: soon(1_000) })
  await fleet.ended(second._id)
  expect(runs.slice(-2)).toEqual(['first', 'second'])
  // The deadline has come: bumped to the top.
  expect(await fleet.until(atRisk._id, ({ priority }) => priority === 10)).toMatchObject({ basePriority: 2 })
  // Retries; a task that keeps failing loses priority; recurring errors are reported to the developer.
  const flaky = await fleet.ended((await put('flaky'))._id)
  expect(flaky).toMatchObject({ status: 'completed', failures: 2, priority: 3 })
  const failing = await put('failing')
  await fleet.ended(failing._id)
  await fleet.ended((await put('failing'))._id)
  await eventually(() => told.includes('GONE'))
  // The task log, the message history and its replay.
  const id = failing._id.toHexString()
  await eventually(async () =>
    (await fleet.fleet.control().taskLog({ id })).some(({ message }) => message === 'run failing'),
  )
  expect((await fleet.fleet.store.find(failing._id))?.attempts).toMatchObject([
    { outcome: 'failed', error: { code: 'GONE' } },
  ])
  const { tasks } = await fleet.fleet.control().replay({ id, input: { label: 'replayed' } })
  expect(tasks).toHaveLength(1)
  await eventually(() => runs.includes('replayed'))
  // Writers need an authorised key, also on this computer.
  const keys = new KeyStore(fleet.database.db)
  const { id: key, token } = await keys.create({ name: 'writer', scopes: ['write'] })
  const gateway = await startGateway(fleet)
  await expect(fleet.client(gateway.url!).enqueue({ name: 'record' })).rejects.toMatchObject({
    code: 'UNAUTHENTICATED',
  })
  const written = await fleet
    .client(gateway.url!, { token })
    .enqueue({ name: 'record', version: 2, input: { label: 'key' }, queue })
  await eventually(() => runs.includes('key'))
  expect(written.name).toBe('record')
  await fleet.database.db.collection('keys').deleteOne({ _id: key as never })
})

test("tasq's TaskExecutor", async () => {
  const queue = ownQueue()
  let now = 0
  let most = 0
  const ran: string[] = []
  const job = defineTask({
    name: 'job',
    input: z.object({ n: z.number() }),
    retry: { maxAttempts: 1 },
    run: async ({ input, task }) => {
      now += 1
      most = Math.max(most, now)
      ran.push(task.id)
      await new Promise((resolve) => setTimeout(resolve, 5))
      now -= 1
      if (input.n === 13) throw new Error('unlucky')
    },
  })
  // Old jobs are found at boot; several instances share them, and no job runs twice at a time.
  const old = await Promise.all(Array.from({ length: 20 }, (_, n) => fleet.fleet.enqueue(job, { n }, { queue })))
  const executors = [3, 3].map(
    (concurrency) => new TaskRunner({ mongo: fleet.uri, tasks: [job], queues: [queue], concurrency, refillEvery: 5 }),
  )
  const events: string[] = []
  for (const executor of executors) {
    fleet.cleanup(() => executor.stop({ grace: 0 }))
    executor.on('success', () => events.push('success'))
    executor.on('fail', () => events.push('fail'))
    executor.on('idle', () => events.push('idle'))
    await executor.start()
  }
  await Promise.all(old.map(({ _id }) => fleet.ended(_id)))
  // Posted jobs are pushed at once.
  const posted = await executors[0]!.post(job, { n: 99 }, { queue })
  await eventually(() => ran.includes(posted._id))
  await eventually(() => events.filter((event) => event !== 'idle').length === 21 && events.at(-1) === 'idle')
  expect(events.filter((event) => event === 'fail')).toHaveLength(1)
  expect(new Set(ran).size).toBe(21)
  expect(ran).toHaveLength(21)
  expect(most).toBeLessThanOrEqual(6)
  // A stopped one takes nothing more.
  await executors[0]!.stop()
  await executors[1]!.stop()
  const late = await fleet.fleet.enqueue(job, { n: 1 }, { queue })
  expect((await fleet.fleet.store.find(late._id))?.status).toBe('pending')
})

test('persistent task queue (events and callbacks)', async () => {
  const queue = ownQueue()
  const at = new Map<string, number>()
  const action = defineTask({
    name: 'action',
    input: z.object({ a: z.number(), b: z.number() }).loose(),
    retry: { maxAttempts: 1 },
    run: ({ input, task }) => {
      at.set(task.id, Date.now())
      if (input.b === 0) throw new UnrecoverableError('DIVISION_BY_ZERO', 'not by zero')
      return input.a / input.b
    },
  })
  // Stored before anybody runs: after a restart what is overdue runs at once, the rest at its time, none early.
  const future = soon(900)
  const [overdue, ahead, urgent] = await Promise.all([
    fleet.fleet.enqueue(action, { a: 6, b: 2, any: 'prop' } as never, { queue, runAt: new Date(Date.now() - 5_000) }),
    fleet.fleet.enqueue(action, { a: 8, b: 2 }, { queue, runAt: future }),
    fleet.fleet.enqueue(action, { a: 1, b: 0 }, { queue, priority: 10 }),
  ])
  const runner = await fleet.runner({ queue, tasks: [action], concurrency: 1 })
  expect(await fleet.ended(overdue._id)).toMatchObject({ output: 3, input: { any: 'prop' } })
  expect(await fleet.ended(ahead._id)).toMatchObject({ output: 4 })
  expect(at.get(ahead._id.toHexString())).toBeGreaterThanOrEqual(+future - 50)
  expect(at.get(urgent._id.toHexString())).toBeLessThanOrEqual(at.get(overdue._id.toHexString())!)
  // Errors are kept with the rest, and a list in the browser is live.
  const gateway = await startGateway(fleet)
  const held = await HeldRows.open(await connect(fleet, gateway.url!), { filter: { queue }, sort: { createdAt: 1 } })
  expect(held.rows.find(({ _id }: TaskRow) => _id === urgent._id.toHexString())).toMatchObject({
    status: 'failed',
    error: { code: 'DIVISION_BY_ZERO' },
  })
  const pushed = once(runner, 'success')
  const next = await fleet.fleet.enqueue(action, { a: 9, b: 3 }, { queue })
  await pushed
  expect(
    (
      await eventually(() =>
        held.rows.find(({ _id, status }) => _id === next._id.toHexString() && status === 'completed'),
      )
    ).finishedAt,
  ).toBeDefined()
  expect(scriptedTask().name).toBe('scripted')
})
