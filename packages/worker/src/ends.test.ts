import type { TaskDocument } from '@taskfleet/core'
import { RetryAfterError, SnoozeError } from '@taskfleet/protocol'
import { oddValues, soundValues } from '@taskfleet/testkit/fleet/odd-values'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { Binary, type Long } from 'mongodb'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import type { HandlerContext } from './handler.ts'

const fleet = useFleet()
const kind = z.object({ kind: z.string() })

/** A handler that does what its input says, and one that completes beside it. */
function tasks(acts: Record<string, (context: HandlerContext<{ kind: string }>) => unknown>) {
  const odd = defineTask({ name: 'odd', input: kind, run: (context) => acts[context.input.kind]!(context) })
  const good = defineTask({ name: 'good', input: z.object({}), run: () => 'good' })
  return { odd, good }
}

async function runOne(acts: Parameters<typeof tasks>[0], kind: string): Promise<TaskDocument> {
  const queue = ownQueue()
  const { odd, good } = tasks(acts)
  const runner = await fleet.runner({ queue, tasks: [odd, good], concurrency: 1 })
  const { _id } = await fleet.fleet.enqueue(odd, { kind }, { queue })
  const ended = await fleet.ended(_id)
  // The one slot is free again.
  const next = await fleet.ended((await fleet.fleet.enqueue(good, {}, { queue }))._id)
  expect(next.output).toBe('good')
  await runner.stop()
  return ended
}

const validate = (validator: object): Promise<unknown> =>
  fleet.database.db.command({ collMod: 'tasks', validator, validationLevel: 'strict' })

describe('a value that can not be stored fails the task after one attempt', () => {
  test('outputs and checkpoints', async () => {
    const queue = ownQueue()
    const { odd } = tasks({})
    const output = defineTask({ name: 'output', input: kind, run: ({ input }) => ({ v: oddValues()[input.kind] }) })
    const checkpoint = defineTask({
      name: 'checkpoint',
      input: kind,
      run: ({ input, checkpoint }) => checkpoint.save({ v: oddValues()[input.kind] }),
    })
    const runner = await fleet.runner({ queue, tasks: [odd, output, checkpoint], concurrency: 4 })
    for (const factory of [output, checkpoint]) {
      const asked = Object.keys(oddValues()).map(
        async (kind) => [kind, await fleet.fleet.enqueue(factory, { kind }, { queue })] as const,
      )
      for (const [kind, { _id }] of await Promise.all(asked)) {
        const place = factory.name.toUpperCase()
        const code = kind === '17 MB' ? `${place}_TOO_LARGE` : `BAD_${place}`
        expect(await fleet.ended(_id), kind).toMatchObject({
          status: 'failed',
          attempt: 1,
          failures: 1,
          error: { code },
        })
      }
    }
    await runner.stop()
  })

  test('progress, if the handler does not catch the error', async () => {
    const ended = await runOne({ progress: ({ progress }) => progress({ done: Number.NaN }) }, 'progress')
    expect(ended).toMatchObject({ status: 'failed', attempt: 1, error: { code: 'BAD_PROGRESS' } })
  })

  test('an event is dropped, the log reports it once, and its task completes', async () => {
    const emitting = ({ socket }: Pick<HandlerContext<unknown>, 'socket'>): void => {
      for (const v of Object.values(oddValues())) socket.emit('at', { v })
    }
    const ended = await runOne({ event: emitting }, 'event')
    expect(ended).toMatchObject({ status: 'completed', attempt: 1 })
    const lines = await fleet.fleet.control().taskLog({ id: ended._id.toHexString() })
    expect(lines.map(({ level, message }) => [level, message])).toEqual([
      ['warn', "the event 'at' was not sent: 'data.v' can't be stored: the Date is invalid"],
    ])
  })

  test('an output keeps numbers that JSON has not, wide numbers and bytes as BSON has them', async () => {
    const output = {
      nan: Number.NaN,
      all: Number.POSITIVE_INFINITY,
      few: 5n,
      wide: 2n ** 60n,
      bytes: Buffer.from('abc'),
    }
    const ended = await runOne({ output: () => output }, 'output')
    expect(ended.output).toMatchObject({ nan: Number.NaN, all: Number.POSITIVE_INFINITY, few: 5 })
    const { wide, bytes } = ended.output as { wide: Long; bytes: unknown }
    expect([String(wide), bytes]).toEqual([String(2n ** 60n), new Binary(Buffer.from('abc'))])
  })

  test('an input is rejected before it is stored, with its path', async () => {
    const anything = defineTask({ name: 'anything', input: z.object({ v: z.any() }), run: () => null })
    for (const [kind, v] of Object.entries(oddValues())) {
      const asking = fleet.fleet.enqueue(anything, { v }, { queue: ownQueue() })
      await expect(asking, kind).rejects.toMatchObject({
        code: kind === '17 MB' ? 'INPUT_TOO_LARGE' : 'BAD_INPUT',
        field: expect.stringMatching(/^input/),
      })
    }
  })

  test('a storable value comes back unchanged, in the next attempt too', async () => {
    const queue = ownQueue()
    const seen: unknown[] = []
    const echo = defineTask({
      name: 'echo',
      input: z.object({ v: z.any() }),
      retry: { maxAttempts: 2, backoff: { base: 1, jitter: false } },
      run: async ({ input, checkpoint, task }) => {
        seen.push(input.v, checkpoint.state)
        await checkpoint.save(input.v)
        if (task.attempt === 1) throw new Error('again')
        return input.v
      },
    })
    await fleet.runner({ queue, tasks: [echo] })
    const ended = await fleet.ended((await fleet.fleet.enqueue(echo, { v: soundValues() }, { queue }))._id)
    expect(seen).toStrictEqual([soundValues(), undefined, soundValues(), soundValues()])
    expect([ended.output, ended.checkpoint]).toStrictEqual([soundValues(), soundValues()])
  })
})

describe('an end that the server refuses', () => {
  afterEach(() => validate({}))

  test('is replaced by a plain failure after one try', async () => {
    await validate({ $or: [{ status: { $ne: 'completed' } }, { name: 'good' }] })
    const ended = await runOne({ completes: () => 'fine' }, 'completes')
    expect(ended).toMatchObject({ status: 'failed', attempt: 1, lost: 0, error: { code: 'END_REFUSED' } })
    expect(ended.error!.message).toMatch(/'complete'.*121/)
    expect(ended.attempts).toMatchObject([{ outcome: 'failed', error: { code: 'END_REFUSED' } }])
  })

  test('is replaced when it is a retry, or a delay that is no number', async () => {
    await validate({ $or: [{ status: { $ne: 'pending' } }, { failures: 0 }] })
    const acts = {
      fails: () => Promise.reject(new Error('again')),
      snoozes: () => Promise.reject(Object.assign(new SnoozeError(1), { delayMs: Number.NaN })),
    }
    for (const kind of Object.keys(acts)) {
      expect(await runOne(acts, kind)).toMatchObject({ status: 'failed', attempt: 1, error: { code: 'END_REFUSED' } })
    }
  })

  test('does not affect the other ends of the same write', async () => {
    await validate({ $or: [{ status: { $ne: 'completed' } }, { 'input.kind': { $ne: 'bad' } }] })
    const queue = ownQueue()
    const { odd } = tasks({ bad: () => 'bad', good: () => 'good' })
    const kinds = Array.from({ length: 12 }, (_, n) => (n % 4 === 0 ? 'bad' : 'good'))
    const ids = []
    for (const kind of kinds) ids.push((await fleet.fleet.enqueue(odd, { kind }, { queue }))._id)
    await fleet.runner({ queue, tasks: [odd], concurrency: 12, prefetch: 12 })
    const ended = await Promise.all(ids.map((id) => fleet.ended(id)))
    expect(ended.map(({ status }) => status)).toEqual(kinds.map((kind) => (kind === 'bad' ? 'failed' : 'completed')))
    expect(ended.map(({ attempt }) => attempt)).toEqual(kinds.map(() => 1))
  })

  test('frees its slot even if no end at all can be stored, and the task goes on when one can', async () => {
    await validate({ $or: [{ status: { $in: ['pending', 'running'] } }, { name: { $ne: 'odd' } }] })
    const queue = ownQueue()
    const { odd, good } = tasks({ completes: () => 'fine' })
    const runner = await fleet.runner({ queue, tasks: [odd, good], concurrency: 1, leaseMs: 1_000 })
    const { _id } = await fleet.fleet.enqueue(odd, { kind: 'completes' }, { queue })
    await fleet.until(_id, ({ status }) => status === 'running')
    const next = await fleet.ended((await fleet.fleet.enqueue(good, {}, { queue }))._id)
    expect(next.output).toBe('good')
    await validate({})
    await eventually(async () => (await fleet.fleet.store.find(_id))?.status === 'completed')
    await runner.stop()
  })
})

describe('progress', () => {
  const report = (context: HandlerContext<unknown>): void => {
    for (let done = 1; done <= 7; done += 1) context.progress({ done, total: 10 })
  }

  test.each<[string, (context: HandlerContext<{ kind: string }>) => unknown, string]>([
    ['completes', report, 'completed'],
    [
      'fails',
      (context) => {
        report(context)
        throw new RetryAfterError('BUSY', 'later', 60_000)
      },
      'pending',
    ],
  ])('the last one before the end is stored with the end: %s', async (kind, act, status) => {
    const queue = ownQueue()
    const { odd } = tasks({ [kind]: act })
    await fleet.runner({ queue, tasks: [odd] })
    const { _id } = await fleet.fleet.enqueue(odd, { kind }, { queue })
    const after = await fleet.until(_id, (task) => task.attempt === 1 && task.status === status)
    expect(after.progress).toMatchObject({ done: 7, total: 10, ratio: 0.7, at: expect.any(Date) })
  })

  test('of attempts that complete together each keeps its own', async () => {
    const queue = ownQueue()
    const numbered = defineTask({
      name: 'numbered',
      input: z.object({ n: z.number() }),
      run: ({ input, progress }) => {
        if (input.n % 2 === 0) progress({ done: input.n })
        return input.n
      },
    })
    const ids = []
    for (let n = 0; n < 10; n += 1) ids.push((await fleet.fleet.enqueue(numbered, { n }, { queue }))._id)
    await fleet.runner({ queue, tasks: [numbered], prefetch: 20 })
    const ended = await Promise.all(ids.map((id) => fleet.ended(id)))
    expect(ended.map(({ output, progress }) => [output, progress?.done])).toEqual(
      ids.map((_, n) => [n, n % 2 === 0 ? n : undefined]),
    )
  })

  test('invalid progress of one handler does not affect the others', async () => {
    const queue = ownQueue()
    const nonsense = [Number.NaN, 5n, 'x'.repeat(17 * 2 ** 20), Symbol('s'), () => 1]
    let reported = 0
    const bad = defineTask({
      name: 'bad',
      input: z.object({}),
      run: async ({ progress, signal }) => {
        while (!signal.aborted) {
          for (const done of nonsense) expect(() => progress({ done } as never)).toThrow(/progress/)
          reported += 1
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      },
    })
    const steady = defineTask({
      name: 'steady',
      input: z.object({}),
      run: async ({ progress, signal }) => {
        for (let done = 1; !signal.aborted; done += 1) {
          progress({ done })
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      },
    })
    const runner = await fleet.runner({ queue, tasks: [bad, steady], concurrency: 2 })
    await fleet.runsAt(runner, await fleet.fleet.enqueue(bad, {}, { queue }))
    const good = await fleet.fleet.enqueue(steady, {}, { queue })
    await fleet.runsAt(runner, good)
    let heard = 0
    const ignore = (): void => undefined
    const progress = (): void => {
      heard += 1
    }
    const watcher = { progress, log: ignore, event: ignore, end: ignore }
    runner.attempt(good._id.toHexString())!.watch(watcher)
    await fleet.until(good._id, ({ progress }) => (progress?.done ?? 0) > 20)
    await eventually(() => heard > 5 && reported > 5)
  })
})
