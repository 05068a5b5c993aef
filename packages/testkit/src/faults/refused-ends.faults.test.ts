import type { TaskDocument } from '@taskfleet/core'
import { SnoozeError, UnrecoverableError } from '@taskfleet/protocol'
import { defineTask, type HandlerContext } from '@taskfleet/worker'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { oddValues } from '../fleet/odd-values.ts'
import { ownQueue } from '../fleet/test-sockets.ts'
import { eventually, useFleet } from '../fleet/use-fleet.ts'

/** F36: with any result, and any answer of the server, an attempt ends after one run and its slot is free. */
const fleet = useFleet()
const kind = z.object({ kind: z.string() })
type Act = (context: HandlerContext<{ kind: string }>) => unknown

const untilAborted: Act = ({ signal }) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })

const ENDS: Record<string, { act: Act; status: TaskDocument['status']; ask?: (id: TaskDocument['_id']) => unknown }> = {
  completes: { act: () => 'done', status: 'completed' },
  'fails and would run again': { act: () => Promise.reject(new Error('again')), status: 'pending' },
  snoozes: { act: () => Promise.reject(new SnoozeError('1h')), status: 'pending' },
  'is cancelled': { act: untilAborted, status: 'cancelled', ask: (id) => fleet.fleet.store.cancel(id, 'test') },
  'is paused': { act: untilAborted, status: 'paused', ask: (id) => fleet.fleet.store.pause(id, 'test') },
}

const validate = (validator: object): Promise<unknown> =>
  fleet.database.db.command({ collMod: 'tasks', validator, validationLevel: 'strict' })
/** The statuses that the collection takes of the task under test; its neighbours may have any. */
const allowOnly = (statuses: string[], first = false): Promise<unknown> => {
  const fresh = first ? [{ status: 'pending', attempt: 0 }] : []
  return validate({ $or: [{ status: { $in: statuses } }, ...fresh, { name: { $ne: 'odd' } }] })
}

async function start(act: Act) {
  const queue = ownQueue()
  const odd = defineTask({ name: 'odd', input: kind, run: act })
  const good = defineTask({ name: 'good', input: z.object({}), run: () => 'good' })
  const runner = await fleet.runner({ queue, tasks: [odd, good], concurrency: 1, leaseMs: 1_000 })
  const { _id } = await fleet.fleet.enqueue(odd, { kind: '' }, { queue })
  const slotIsFree = async (): Promise<void> => {
    const next = await fleet.fleet.enqueue(good, {}, { queue })
    expect((await fleet.ended(next._id)).output).toBe('good')
  }
  return { id: _id, runner, slotIsFree }
}

describe.each(Object.entries(ENDS))('an attempt that %s', (_name, { act, status, ask }) => {
  afterEach(() => validate({}))

  // A requested cancel wins over any other end, also over the plain failure.
  test.skipIf(status === 'cancelled')('where the server takes no such end fails once, with its reason', async () => {
    await allowOnly(['running', 'failed'], true)
    const { id, runner, slotIsFree } = await start(act)
    await fleet.until(id, ({ attempt }) => attempt === 1)
    await ask?.(id)
    const ended = await fleet.ended(id)
    expect(ended).toMatchObject({ status: 'failed', attempt: 1, lost: 0, error: { code: 'END_REFUSED' } })
    await slotIsFree()
    await runner.stop()
  })

  test('where the server takes no end at all frees its slot, and goes on when the server does', async () => {
    await allowOnly(['running'], true)
    const { id, runner, slotIsFree } = await start(act)
    await fleet.until(id, ({ attempt }) => attempt === 1)
    await ask?.(id)
    await slotIsFree()
    await validate({})
    await eventually(async () => {
      const task = await fleet.fleet.store.find(id)
      return task?.status === status || (task?.attempt ?? 0) > 1
    })
    await runner.stop({ grace: 0 })
  })
})

test.each(['output', 'checkpoint', 'progress'])('every value that can not be stored, as %s, fails once', async (as) => {
  const queue = ownQueue()
  const odd = defineTask({
    name: 'odd',
    input: kind,
    run: ({ input, checkpoint, progress }) => {
      const value = { v: oddValues()[input.kind] }
      if (as === 'checkpoint') return checkpoint.save(value)
      if (as === 'progress') return progress(value as object)
      return value
    },
  })
  const runner = await fleet.runner({ queue, tasks: [odd], concurrency: 8 })
  const ids = []
  for (const kind of Object.keys(oddValues())) ids.push((await fleet.fleet.enqueue(odd, { kind }, { queue }))._id)
  for (const ended of await Promise.all(ids.map((id) => fleet.ended(id)))) {
    expect(ended).toMatchObject({ status: 'failed', attempt: 1, failures: 1 })
    expect(ended.error!.code).toMatch(new RegExp(`^(BAD_${as}|${as}_TOO_LARGE)$`, 'i'))
  }
  await runner.stop()
})

test('a failure that says so fails at once, whatever its numbers are', async () => {
  const error = Object.assign(new UnrecoverableError('NO_WAY', 'never'), { delayMs: Number.NaN, field: Number.NaN })
  const { id, runner, slotIsFree } = await start(() => Promise.reject(error))
  expect(await fleet.ended(id)).toMatchObject({ status: 'failed', attempt: 1, error: { code: 'NO_WAY' } })
  await slotIsFree()
  await runner.stop()
})
