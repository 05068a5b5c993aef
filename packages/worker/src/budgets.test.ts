import type { TaskDocument } from '@taskfleet/core'
import { FleetError, RetryAfterError, SnoozeError } from '@taskfleet/protocol'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import type { TaskDefinition } from './handler.ts'

const fleet = useFleet()
const input = z.object({ kind: z.string().optional() })
type Definition = TaskDefinition<typeof input, unknown>
const QUICK = { kind: 'fixed', base: 5, jitter: false } as const

/** Runs one task of a handler to its end. */
async function runs(
  definition: Omit<Definition, 'name' | 'input'>,
  options: Parameters<typeof fleet.fleet.enqueue>[2] = {},
): Promise<TaskDocument> {
  const queue = ownQueue()
  const task = defineTask({ name: 'budgeted', input, ...definition } as Definition)
  await fleet.runner({ queue, tasks: [task] })
  const { _id } = await fleet.fleet.enqueue(task, {}, { queue, ...options })
  return fleet.ended(_id)
}

const outcomes = ({ attempts }: TaskDocument) => attempts.map(({ outcome }) => outcome)
const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

describe('a delay that a handler requests', () => {
  test('costs no attempt and no priority, however often, and the history shows it', async () => {
    const ended = await runs(
      {
        retry: { maxAttempts: 1 },
        run: ({ task }) => {
          if (task.attempt < 7) throw new RetryAfterError('BUSY', 'come back later', 5)
          return 'at last'
        },
      },
      { priority: 7 },
    )
    expect(ended).toMatchObject({ status: 'completed', failures: 0, priority: 7, attempt: 7 })
    expect(outcomes(ended)).toEqual([...Array.from({ length: 6 }, () => 'deferred'), 'completed'])
    expect(ended.attempts[0]!.error).toMatchObject({ code: 'BUSY', message: 'come back later' })
  })

  test('ends with the time limit of the whole task', async () => {
    const ended = await runs({
      totalTimeout: 400,
      run: () => {
        throw new RetryAfterError('BUSY', 'for ever', 50)
      },
    })
    expect(ended).toMatchObject({ status: 'failed', failures: 1, error: { code: 'TASK_TIMED_OUT' } })
  })

  test('is emitted as an event, and limited to a day', async () => {
    const queue = ownQueue()
    const task = defineTask({
      name: 'later',
      input,
      run: () => {
        throw new RetryAfterError('BUSY', 'later', 1e18)
      },
    })
    const runner = await fleet.runner({ queue, tasks: [task] })
    const told = new Promise<{ delayMs: number }>((resolve) => runner.once('retry', resolve))
    const { _id } = await fleet.fleet.enqueue(task, {}, { queue })
    expect((await told).delayMs).toBe(86_400_000)
    const waiting = await fleet.until(_id, ({ attempts }) => attempts[0]?.outcome === 'deferred')
    expect(waiting.runAt.getTime() - waiting.updatedAt.getTime()).toBeGreaterThan(86_300_000)
  })

  test('that is invalid fails the attempt with a code, like any failure', async () => {
    const queue = ownQueue()
    const odd: Record<string, unknown> = {
      ...{ NaN: Number.NaN, Infinity: Number.POSITIVE_INFINITY, negative: -5_000, text: 'soon', nothing: undefined },
      'a date of HTTP that nobody has read': Number('Wed, 21 Oct 2027 07:28:00 GMT') * 1_000,
    }
    const tooLong: Record<string, unknown> = { huge: 1e18, largest: Number.MAX_VALUE, days: '99999999999d' }
    const retry = { maxAttempts: 2, backoff: QUICK }
    const later = defineTask({
      ...{ name: 'later', input, retry },
      run: ({ input: { kind } }) => {
        throw new RetryAfterError('BUSY', 'later', odd[kind!] as never)
      },
    })
    const snooze = defineTask({
      ...{ name: 'snooze', input, retry },
      run: ({ input: { kind } }) => {
        throw new SnoozeError({ ...odd, ...tooLong }[kind!] as never)
      },
    })
    await fleet.runner({ queue, tasks: [later, snooze] })
    const kinds = [
      ...Object.keys(odd).map((kind) => [later, kind] as const),
      ...Object.keys({ ...odd, ...tooLong }).map((kind) => [snooze, kind] as const),
    ]
    for (const [task, kind] of kinds) {
      const { _id } = await fleet.fleet.enqueue(task, { kind }, { queue })
      const ended = await fleet.ended(_id)
      const seen = { status: ended.status, failures: ended.failures, code: ended.error?.code }
      expect(seen, `${task.name} ${kind}`).toEqual({ status: 'failed', failures: 2, code: 'BAD_DELAY' })
    }
  })

  test('of its own back-off that is no duration is replaced by the default one', async () => {
    const delays = [Number.NaN, Number.POSITIVE_INFINITY, -1, 1e300, 'soon', null, undefined, {}, Promise.resolve(5)]
    const queue = ownQueue()
    const task = defineTask({
      name: 'odd',
      input,
      retry: { maxAttempts: 2, backoff: { delay: () => delays.pop() as never, cap: 10_000 } },
      run: () => Promise.reject(new Error('no')),
    })
    const runner = await fleet.runner({ queue, tasks: [task], concurrency: 9 })
    const told: number[] = []
    const all = new Promise<void>((resolve) => {
      runner.on('retry', ({ delayMs }) => {
        if (told.push(delayMs) === 9) resolve()
      })
    })
    for (let n = 0; n < 9; n += 1) await fleet.fleet.enqueue(task, {}, { queue })
    await all
    for (const delayMs of told) expect(delayMs >= 500 && delayMs <= 1_000, `${delayMs}`).toBe(true)
  })
})

describe('a handler whose failures without progress count', () => {
  const stepping = (steps: number, retry: Definition['retry']) =>
    ({
      retry: { backoff: QUICK, ...retry },
      run: async ({ checkpoint }) => {
        // One object that is changed and saved again, as handlers like to.
        const state = (checkpoint.state ?? { done: 0 }) as { done: number }
        if (state.done >= steps) return state.done
        state.done += 1
        await checkpoint.save(state)
        throw new FleetError('FLAKY', 'the connection broke')
      },
    }) satisfies Omit<Definition, 'name' | 'input'>

  test('is retried as long as its checkpoint changes, and keeps its priority', async () => {
    const ended = await runs(stepping(9, { maxAttempts: 2, counts: 'without-progress' }), { priority: 6 })
    expect(ended).toMatchObject({ status: 'completed', output: 9, failures: 0, priority: 6, attempt: 10 })
  })

  test('fails after maxAttempts attempts in a row without progress', async () => {
    const ended = await runs({
      retry: { maxAttempts: 3, counts: 'without-progress', backoff: QUICK },
      run: async ({ task, checkpoint }) => {
        // Moves in the third attempt alone: saving the same again is no progress.
        await checkpoint.save({ at: task.attempt < 3 ? 1 : 3 })
        throw new FleetError('FLAKY', 'as always')
      },
    })
    // The first moves it from nothing, the second does not, the third does, and three more don't.
    expect(ended).toMatchObject({ status: 'failed', failures: 3, attempt: 6, checkpointAttempt: 3 })
  })

  test('with `every`, fails although its checkpoint changes', async () => {
    expect(await runs(stepping(9, { maxAttempts: 2 }))).toMatchObject({ status: 'failed', failures: 2 })
  })
})

describe('a stall', () => {
  test('fails an attempt that reports nothing new, with a code and like any failure', async () => {
    const ended = await runs({
      stall: 150,
      retry: { maxAttempts: 2, backoff: QUICK },
      run: async ({ signal, log, progress }) => {
        // Neither a log line nor the same progress once more is anything new.
        const chatter = setInterval(() => {
          log.info('still here')
          progress({ done: 1, total: 2 })
        }, 20)
        await untilAborted(signal).finally(() => clearInterval(chatter))
      },
    })
    expect(ended).toMatchObject({ status: 'failed', failures: 2, error: { code: 'STALLED' } })
    expect(outcomes(ended)).toEqual(['failed', 'failed'])
  })

  test('does not happen while progress or the checkpoint changes', async () => {
    const ended = await runs({
      stall: 600,
      retry: { maxAttempts: 1 },
      run: async ({ progress, checkpoint }) => {
        const update = { done: 0, total: 100 }
        for (let n = 1; n <= 24; n += 1) {
          await new Promise((resolve) => setTimeout(resolve, 50))
          if (n <= 12) {
            update.done = n
            progress(update)
          } else await checkpoint.save({ n })
        }
        return 'done'
      },
    })
    expect(ended).toMatchObject({ status: 'completed', output: 'done' })
  })
})

describe("a task's own budget", () => {
  test("wins over its handler's", async () => {
    const failing: Omit<Definition, 'name' | 'input'> = {
      timeout: '1h',
      stall: '1h',
      retry: { maxAttempts: 5, backoff: { delay: () => 3_600_000 } },
      run: ({ signal }) => untilAborted(signal),
    }
    const retry = { maxAttempts: 3, backoff: QUICK, decay: false }
    expect(await runs(failing, { priority: 6, retry, timeout: 50 })).toMatchObject({
      ...{ status: 'failed', failures: 3, priority: 6 },
      error: { code: 'TIMED_OUT' },
    })
    expect(await runs(failing, { retry, stall: 50 })).toMatchObject({ failures: 3, error: { code: 'STALLED' } })
    expect(await runs(failing, { totalTimeout: 50 })).toMatchObject({ failures: 1, error: { code: 'TASK_TIMED_OUT' } })
  })

  test('works beyond the longest timer', async () => {
    const month = { timeout: '60d', totalTimeout: 2 ** 31, stall: 2 ** 33 } as const
    const ended = await runs(
      {
        timeout: 2 ** 31 + 1,
        totalTimeout: '25d',
        stall: '36525d',
        run: () => new Promise((resolve) => setTimeout(resolve, 100, 'fine')),
      },
      month,
    )
    expect(ended).toMatchObject({ status: 'completed', output: 'fine', timeout: 60 * 86_400_000, stall: 2 ** 33 })
  })

  test('that was changed to an invalid one by hand is replaced by the handler’s', async () => {
    const queue = ownQueue()
    const task = defineTask({ name: 'broken', input, retry: { maxAttempts: 1 }, run: () => 'fine' })
    const { _id } = await fleet.fleet.enqueue(task, {}, { queue, runAt: new Date(Date.now() + 500) })
    const broken = { timeout: -1, totalTimeout: Number.NaN, stall: 0 }
    await fleet.fleet.tasks.updateOne({ _id }, { $set: broken })
    await fleet.runner({ queue, tasks: [task] })
    expect(await fleet.ended(_id)).toMatchObject({ status: 'completed', output: 'fine' })
  })
})

describe('a definition or setting with an invalid number is rejected', () => {
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, -1, 0, 1e18, 'soon', '0s', null]

  test.each(odd)('a limit of %s', (value) => {
    for (const field of ['timeout', 'totalTimeout', 'stall']) {
      expect(() => defineTask({ name: 'odd', input, run: () => null, [field]: value })).toThrow(
        expect.objectContaining({ code: 'BAD_DEFINITION', field }),
      )
    }
  })

  test.each([
    { maxAttempts: Number.NaN },
    { maxAttempts: 0 },
    { maxAttempts: 51 },
    { maxAttempts: 2.5 },
    { backoff: { base: Number.NaN } },
    { backoff: { base: '1000000d' } },
    { backoff: { cap: -1 } },
    { backoff: { factor: Number.POSITIVE_INFINITY } },
    { backoff: { factor: 0.5 } },
    { backoff: { kind: 'linear' } },
    { counts: 'sometimes' },
  ])('retry: %o', (retry) => {
    expect(() => defineTask({ name: 'odd', input, run: () => null, retry: retry as never })).toThrow(
      expect.objectContaining({ code: 'BAD_DEFINITION' }),
    )
  })

  test.each(['leaseMs', 'heartbeatMs', 'pollMs', 'refillEvery', 'abortGrace', 'concurrency', 'prefetch'] as const)(
    '%s of a runner',
    async (field) => {
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1, 2 ** 31, 1e18, '5 s']) {
        await expect(fleet.runner({ [field]: value })).rejects.toThrow(
          expect.objectContaining({ code: 'CONFIG_RANGE' }),
        )
      }
    },
  )

  test('an invalid grace stops nothing, and one of a month works', async () => {
    const queue = ownQueue()
    let letEnd = (_output: string): void => undefined
    const output = new Promise<string>((resolve) => (letEnd = resolve))
    const task = defineTask({ name: 'held', input, run: () => output })
    const runner = await fleet.runner({ queue, tasks: [task] })
    await expect(runner.stop({ grace: Number.NaN })).rejects.toThrow(expect.objectContaining({ code: 'BAD_DURATION' }))
    const { _id } = await fleet.fleet.enqueue(task, {}, { queue })
    await fleet.until(_id, ({ status }) => status === 'running')
    const stopped = runner.stop({ grace: '30d' })
    letEnd('done')
    await stopped
    expect(await fleet.fleet.store.find(_id)).toMatchObject({ status: 'completed', output: 'done' })
  })
})
