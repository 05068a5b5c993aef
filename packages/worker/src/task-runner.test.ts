import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TaskDocument } from '@taskfleet/core'
import { MongoTaskStore, parseId, parseNewTask } from '@taskfleet/core/internal'
import { checkInvariants } from '@taskfleet/testkit/describe-task-store'
import { scriptedTask } from '@taskfleet/testkit/fleet/scripted-task'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import type { TaskRunner } from './task-runner.ts'

const fleet = useFleet()
let queues = 0
/** Each test has a queue to itself, so that no runner takes another test's tasks. */
const ownQueue = (): string => {
  queues += 1
  return `queue-${queues}`
}

/** How many tasks the runner has held at once at most, from now on. */
const mostHeld = (runner: TaskRunner): (() => number) => {
  let [now, most] = [0, 0]
  runner.on('claimed', () => {
    now += 1
    most = Math.max(most, now)
  })
  runner.on('success', () => {
    now -= 1
  })
  return () => most
}

describe('TaskRunner', () => {
  test('runs tasks that were enqueued before and after its start, and stores the output', async () => {
    const queue = ownQueue()
    const before = await fleet.post([{ do: 'return', value: { answer: 42 } }], { queue })
    const runner = await fleet.runner({ queue })
    const after = await runner.post(scriptedTask(), { steps: [{ do: 'return', value: [1, 2] }] }, { queue })
    expect(await fleet.ended(before._id)).toMatchObject({ status: 'completed', output: { answer: 42 }, attempt: 1 })
    const second = await eventually(async () => {
      const task = await fleet.fleet.store.find(parseId(after._id))
      return task?.status === 'completed' && task
    })
    expect(second.output).toEqual([1, 2])
  })

  test('emits an event for each step', async () => {
    const queue = ownQueue()
    // Long enough that the feed can't tell of the next try before the end of this one is acknowledged.
    const runner = await fleet.runner({ queue, tasks: [scriptedTask({ base: 1_000 })] })
    const heard: string[] = []
    for (const event of ['due', 'claimed', 'retry', 'success', 'idle'] as const)
      runner.on(event, () => heard.push(event))
    const idleAgain = once(runner, 'success').then(() => once(runner, 'idle'))
    await fleet.post(
      [
        { do: 'fail', times: 1 },
        { do: 'return', value: 1 },
      ],
      { queue },
    )
    await idleAgain
    expect(heard.filter((event) => event !== 'idle')).toEqual(['due', 'claimed', 'retry', 'due', 'claimed', 'success'])
  })

  test('retries with back-off until it succeeds or no attempt is left', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue })
    const flaky = await fleet.post(
      [
        { do: 'fail', times: 2 },
        { do: 'return', value: 'third' },
      ],
      { queue },
    )
    const hopeless = await fleet.post([{ do: 'fail' }], { queue, maxAttempts: 3 })
    const fatal = await fleet.post([{ do: 'fail', fatal: true, code: 'NO_WAY' }], { queue })
    expect(await fleet.ended(flaky._id)).toMatchObject({
      status: 'completed',
      output: 'third',
      attempt: 3,
      failures: 2,
      priority: 3,
    })
    expect(await fleet.ended(hopeless._id)).toMatchObject({
      status: 'failed',
      attempt: 3,
      failures: 3,
      error: { code: 'TEST' },
    })
    expect(await fleet.ended(fatal._id)).toMatchObject({ status: 'failed', attempt: 1, error: { code: 'NO_WAY' } })
  })

  test('runs the higher priority first, and a later task when its date has come', async () => {
    const queue = ownQueue()
    const later = await fleet.post([], { queue, runAt: new Date(Date.now() + 1_200) })
    const [low, high] = [
      await fleet.post([], { queue, priority: 'low' }),
      await fleet.post([], { queue, priority: 'high' }),
    ]
    const order: string[] = []
    const prepare = (runner: TaskRunner): unknown => runner.on('claimed', ({ task }) => order.push(task._id))
    await fleet.runner({ queue, concurrency: 1, prepare })
    const ended = await fleet.ended(later._id)
    await fleet.ended(low._id)
    const [first, second] = [high, low].map(({ _id }) => order.indexOf(_id.toHexString())) as [number, number]
    expect(first).toBeGreaterThanOrEqual(0)
    expect(second).toBeGreaterThan(first)
    expect(ended.claimedAt!.getTime()).toBeGreaterThanOrEqual(later.runAt.getTime())
    // The poll comes later than this.
    expect(ended.claimedAt!.getTime() - later.runAt.getTime()).toBeLessThan(20_000)
  })

  test('never runs more at once than it has slots', async () => {
    const queue = ownQueue()
    const tasks = await Promise.all(Array.from({ length: 9 }, () => fleet.post([{ do: 'sleep', ms: 30 }], { queue })))
    let most = (): number => 0
    const prepare = (runner: TaskRunner): void => {
      most = mostHeld(runner)
    }
    await fleet.runner({ queue, concurrency: 3, prefetch: 0, prepare })
    await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
    expect(most()).toBe(3)
  })

  describe('that claims ahead', () => {
    test('runs no more at once than it has slots, and each in its turn', async () => {
      const queue = ownQueue()
      const tasks = await Promise.all(Array.from({ length: 9 }, (_, n) => fleet.post([], { queue, priority: n + 1 })))
      let [now, most, ahead] = [0, 0, 0]
      let held = (): number => 0
      const prepare = (runner: TaskRunner): void => {
        held = () => tasks.filter(({ _id }) => runner.attempt(_id.toHexString()) !== undefined).length
      }
      const order: string[] = []
      const counting = defineTask({
        name: 'scripted',
        input: z.object({}),
        run: async ({ task }) => {
          order.push(task.id)
          now += 1
          most = Math.max(most, now)
          ahead = Math.max(ahead, held())
          await sleep(30)
          now -= 1
        },
      })
      await fleet.runner({ queue, concurrency: 2, prefetch: 6, tasks: [counting], prepare })
      await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
      expect(ahead).toBeGreaterThan(2)
      expect(ahead).toBeLessThanOrEqual(8)
      expect(most).toBe(2)
      expect(order).toEqual(tasks.map(({ _id }) => _id.toHexString()).reverse())
    })

    test('a task that waits there for its turn is cancelled at once, without its handler', async () => {
      const queue = ownQueue()
      const runner = await fleet.runner({ queue, concurrency: 1, prefetch: 4 })
      const busy = await fleet.post([{ do: 'waitForAbort' }], { queue })
      await fleet.runsAt(runner, busy)
      const waiting = await fleet.post([{ do: 'return', value: 'ran' }], { queue })
      await fleet.runsAt(runner, waiting)
      await fleet.fleet.store.cancel(waiting._id, 'ann')
      const ended = await fleet.ended(waiting._id)
      expect(ended).toMatchObject({ status: 'cancelled', attempt: 1 })
      expect(ended.output).toBeUndefined()
      expect(await fleet.fleet.store.find(busy._id)).toMatchObject({ status: 'running' })
      checkInvariants(ended)
    })

    test('stopping releases at once what has not begun, at no cost, and lets the rest end', async () => {
      const queue = ownQueue()
      let letEnd = (): void => undefined
      const mayEnd = new Promise<void>((resolve) => {
        letEnd = resolve
      })
      const held = defineTask({ name: 'held', input: z.object({}), run: () => mayEnd })
      const runner = await fleet.runner({ queue, concurrency: 1, prefetch: 4, tasks: [held, scriptedTask()] })
      const busy = await fleet.fleet.enqueue(held, {}, { queue })
      await fleet.runsAt(runner, busy)
      const waiting = await fleet.post([{ do: 'return', value: 'ran' }], { queue })
      await fleet.runsAt(runner, waiting)
      const stopped = runner.stop({ grace: '10m' })
      const released = { status: 'pending', failures: 0, attempts: [{ outcome: 'released' }] }
      expect(await fleet.until(waiting._id, ({ status }) => status === 'pending')).toMatchObject(released)
      letEnd()
      await stopped
      expect(await fleet.fleet.store.find(busy._id)).toMatchObject({ status: 'completed' })
      expect(await fleet.fleet.store.find(waiting._id)).toMatchObject(released)
    })
  })

  describe('claims ahead by itself', () => {
    /** A task that takes as long as its input says, or until it is let go. */
    const gates = new Map<string, Promise<void>>()
    const timed = defineTask({
      name: 'timed',
      input: z.object({ ms: z.number().optional(), gate: z.string().optional() }),
      run: ({ input }) => (input.gate === undefined ? sleep(input.ms ?? 0) : gates.get(input.gate)),
    })
    const enqueue = (queue: string, input: object, count: number): Promise<TaskDocument[]> =>
      fleet.fleet.enqueueMany(
        timed,
        Array.from({ length: count }, () => ({ input, queue })),
      )
    test('where handlers are short, and nothing where they are long', async () => {
      const [short, long] = [ownQueue(), ownQueue()]
      const quick = await fleet.runner({ queue: short, concurrency: 2, tasks: [timed] })
      const slow = await fleet.runner({ queue: long, concurrency: 2, tasks: [timed] })
      const most = { quick: mostHeld(quick), slow: mostHeld(slow) }
      const all = [...(await enqueue(short, { ms: 2 }, 120)), ...(await enqueue(long, { ms: 120 }, 12))]
      await Promise.all(all.map(({ _id }) => fleet.ended(_id)))
      expect(most.quick()).toBeGreaterThan(4)
      expect(most.slow()).toBeLessThanOrEqual(3)
    })

    test('and leaves tasks that wait for long to other workers', async () => {
      const queue = ownQueue()
      const first = await fleet.runner({ queue, concurrency: 2, tasks: [timed] })
      await Promise.all((await enqueue(queue, { ms: 1 }, 60)).map(({ _id }) => fleet.ended(_id)))
      let open = (): void => undefined
      gates.set(queue, new Promise((resolve) => (open = resolve)))
      const stuck = await enqueue(queue, { gate: queue }, 2)
      for (const task of stuck) await fleet.runsAt(first, task)
      const waiting = await enqueue(queue, { ms: 1 }, 20)
      await fleet.runner({ queue, concurrency: 2, tasks: [timed] })
      const ended = await Promise.all(waiting.map(({ _id }) => fleet.ended(_id)))
      for (const task of ended) {
        expect(task).toMatchObject({ status: 'completed', failures: 0, lost: 0 })
        checkInvariants(task)
      }
      open()
      for (const { _id } of stuck) expect(await fleet.ended(_id)).toMatchObject({ status: 'completed', attempt: 1 })
    })
  })

  test('does not claim what it can not run: another name, another queue, a newer version', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue })
    const strangers = await Promise.all([
      fleet.fleet.enqueue(scriptedTask({ name: 'stranger' }), { steps: [] }, { queue }),
      fleet.post([], { queue: ownQueue() }),
      fleet.fleet.enqueue(scriptedTask({ version: 2 }), { steps: [] }, { queue }),
    ])
    const own = await fleet.post([], { queue })
    await fleet.ended(own._id)
    for (const { _id } of strangers)
      expect(await fleet.fleet.store.find(_id)).toMatchObject({ status: 'pending', attempt: 0 })
  })

  test('an older input is upgraded to the version of the handler', async () => {
    const queue = ownQueue()
    const old = await fleet.post([{ do: 'return', value: 'upgraded' }], { queue })
    await fleet.runner({ queue, tasks: [scriptedTask({ version: 2 })] })
    expect(await fleet.ended(old._id)).toMatchObject({ status: 'completed', output: 'upgraded', version: 1 })
  })

  test('an invalid input fails at once with the path', async () => {
    const queue = ownQueue()
    const [bad] = await fleet.fleet.store.enqueue([
      parseNewTask({ name: 'scripted', queue, input: { steps: [{ do: 'dance' }] } }),
    ])
    await fleet.runner({ queue })
    const ended = await fleet.ended(bad!._id)
    expect(ended).toMatchObject({ status: 'failed', attempt: 1, error: { code: 'INPUT_INVALID' } })
    expect(ended.error!.message).toContain('input.steps.0')
  })

  test('an output that is too large is a failed attempt', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue })
    const task = await fleet.post([{ do: 'returnLarge', bytes: 257 * 1024 }], { queue, maxAttempts: 1 })
    expect(await fleet.ended(task._id)).toMatchObject({ status: 'failed', error: { code: 'OUTPUT_TOO_LARGE' } })
  })

  test('an attempt that takes too long is aborted and retried', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue, tasks: [scriptedTask({ timeout: 50 })] })
    const task = await fleet.post([{ do: 'waitForAbort' }], { queue, maxAttempts: 2 })
    const ended = await fleet.ended(task._id)
    expect(ended.attempts.map(({ error }) => error?.code)).toEqual(['TIMED_OUT', 'TIMED_OUT'])
  })

  test('a cancel from anywhere aborts the handler on any host', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue })
    const task = await fleet.post([{ do: 'waitForAbort' }], { queue })
    await fleet.runsAt(runner, task)
    await fleet.fleet.store.cancel(task._id, 'ann', 'no longer needed')
    const ended = await fleet.ended(task._id)
    expect(ended).toMatchObject({ status: 'cancelled', attempts: [{ outcome: 'cancelled' }] })
    checkInvariants(ended)
  })

  test('a handler that ignores a cancel loses its slot after the grace period', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, concurrency: 1, abortGrace: 50 })
    const deaf = await fleet.post([{ do: 'ignoreAbort' }], { queue })
    await fleet.runsAt(runner, deaf)
    const next = await fleet.post([], { queue })
    await fleet.fleet.store.cancel(deaf._id, 'ann')
    expect((await fleet.ended(deaf._id)).status).toBe('cancelled')
    expect((await fleet.ended(next._id)).status).toBe('completed')
  })

  test('a pause keeps the checkpoint, and resume goes on from it elsewhere', async () => {
    const queue = ownQueue()
    const first = await fleet.runner({ queue, name: 'first' })
    const task = await fleet.post([{ do: 'checkpoint', state: { at: 7 } }, { do: 'waitForAbort' }], { queue })
    await fleet.until(task._id, ({ checkpoint }) => checkpoint !== undefined)
    await fleet.fleet.store.pause(task._id, 'ann')
    const paused = await fleet.until(task._id, ({ status }) => status === 'paused')
    expect(paused).toMatchObject({ checkpoint: { at: 7 }, attempts: [{ outcome: 'paused' }], failures: 0 })
    await first.stop({ grace: 0 })
    await fleet.runner({ queue, name: 'second' })
    await fleet.fleet.store.resume(task._id)
    expect((await fleet.until(task._id, ({ attempt }) => attempt === 2)).checkpoint).toEqual({ at: 7 })
    await fleet.fleet.store.cancel(task._id, 'ann')
    await fleet.ended(task._id)
  })

  test('stop releases its tasks without a failure', async () => {
    const queue = ownQueue()
    const first = await fleet.runner({ queue })
    const task = await fleet.post([{ do: 'waitForAbort' }], { queue })
    await fleet.runsAt(first, task)
    await first.stop({ grace: 0 })
    await first.stop({ grace: 0 })
    const released = await fleet.fleet.store.find(task._id)
    expect(released).toMatchObject({ status: 'pending', failures: 0, attempts: [{ outcome: 'released' }] })
    checkInvariants(released!)
  })

  test('stop releases also a task whose claim is answered only after it has begun', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue })
    const { claim } = MongoTaskStore.prototype
    let asked = false
    let answer = (): void => undefined
    const held = new Promise<void>((resolve) => {
      answer = resolve
    })
    const spy = vi.spyOn(MongoTaskStore.prototype, 'claim').mockImplementation(async function (
      this: MongoTaskStore,
      ...args
    ) {
      const claims = await claim.apply(this, args)
      asked = claims.length > 0
      await held
      return claims
    })
    onTestFinished(() => void spy.mockRestore())
    const task = await fleet.post([{ do: 'waitForAbort' }], { queue })
    await eventually(() => asked)
    const stopped = runner.stop({ grace: 0 })
    // The grace is over by then.
    await eventually(async () => (await fleet.fleet.workers.find(runner.id))?.state === 'draining')
    answer()
    await stopped
    const released = await fleet.fleet.store.find(task._id)
    expect(released).toMatchObject({ status: 'pending', failures: 0, attempts: [{ outcome: 'released' }] })
    checkInvariants(released!)
  })

  test('stop lets a task end within its grace', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue })
    const task = await fleet.post(
      [
        { do: 'sleep', ms: 200 },
        { do: 'return', value: 'in time' },
      ],
      { queue },
    )
    await fleet.runsAt(runner, task)
    await runner.stop({ grace: '20s' })
    expect(await fleet.fleet.store.find(task._id)).toMatchObject({ status: 'completed', output: 'in time' })
  })

  test('a handler that blocks the event loop for longer than its lease keeps its task', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue, leaseMs: 1_500 })
    const reaper = await fleet.runner({ queue: ownQueue(), leaseMs: 1_500 })
    const task = await fleet.post(
      [
        { do: 'block', ms: 4_000 },
        { do: 'return', value: 'kept' },
      ],
      { queue },
    )
    expect(await fleet.ended(task._id)).toMatchObject({ status: 'completed', attempt: 1, lost: 0, output: 'kept' })
    await reaper.stop({ grace: 0 })
  })

  test('a lost task is abandoned: its late result matches nothing', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, leaseMs: 1_500 })
    const task = await fleet.post([{ do: 'waitForAbort' }], { queue })
    await fleet.runsAt(runner, task)
    const tasks = fleet.database.db.collection('tasks')
    const lost = once(runner, 'lost')
    await tasks.updateOne({ _id: task._id }, { $set: { status: 'paused' }, $unset: { lease: 1 }, $inc: { rev: 1 } })
    await lost
    await eventually(() => runner.attempt(task._id.toHexString()) === undefined)
    expect(await fleet.fleet.store.find(task._id)).toMatchObject({ status: 'paused' })
  })

  test('two workers share a queue, and each task runs once', async () => {
    const queue = ownQueue()
    const tasks = await Promise.all(Array.from({ length: 40 }, () => fleet.post([{ do: 'sleep', ms: 5 }], { queue })))
    await Promise.all([fleet.runner({ queue, concurrency: 4 }), fleet.runner({ queue, concurrency: 4 })])
    const ended = await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
    expect(ended.every(({ attempt, status }) => attempt === 1 && status === 'completed')).toBe(true)
    for (const task of ended) checkInvariants(task)
  })

  test('progress at any rate reaches the database at most about once a second', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue })
    const steps = Array.from({ length: 5_000 }, (_, done) => ({ do: 'progress' as const, done, total: 5_000 }))
    const task = await fleet.post([...steps, { do: 'sleep', ms: 1_300 }, { do: 'return', value: 1 }], { queue })
    const ended = await fleet.ended(task._id)
    expect(ended.progress).toMatchObject({ done: 4_999, total: 5_000, unit: 'bytes' })
    // Claim, at most a few checkpoints, and the end.
    expect(ended.rev).toBeLessThanOrEqual(6)
  })

  test.each([
    ['no slots', { concurrency: 0 }, 'CONFIG_RANGE'],
    ['a lease too short to be renewed', { leaseMs: 100 }, 'CONFIG_RANGE'],
    ['two tasks of one name', { tasks: [scriptedTask(), scriptedTask()] }, 'BAD_DEFINITION'],
    ['an open address without a key', { listen: { host: '0.0.0.0', port: 0 } }, 'INSECURE_BIND'],
    ['an address that is none', { listen: { host: '127.0.0.1', port: 0 }, publicUrl: 'ftp://x' }, 'BAD_PUBLIC_URL'],
  ])('refuses a wrong set-up at start: %s', async (_what, options, code) => {
    await expect(fleet.runner(options)).rejects.toMatchObject({ code })
  })
})
