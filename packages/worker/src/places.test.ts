import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import type { TaskRunner } from './task-runner.ts'

const fleet = useFleet()

/** A handler that saves where it has been, and ends only where `ends` says so. */
const copier = (place: string | (() => string), ends = false) =>
  defineTask({
    name: 'copier',
    input: z.object({}),
    prefer: { checkpoint: '10m', place: typeof place === 'string' ? () => place : place },
    run: async ({ checkpoint, signal }): Promise<unknown> => {
      if (ends) return checkpoint.state
      await checkpoint.save({ place: String(place) })
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    },
  })

const hasSaved = (id: Parameters<typeof fleet.until>[0]) =>
  fleet.until(id, ({ checkpoint }) => checkpoint !== undefined)

test('a task waits for a worker at the place of its checkpoint, and starts there at once', async () => {
  const queue = ownQueue()
  const at = (name: string, place: string, ends = false): Promise<TaskRunner> =>
    fleet.runner({ queue, name, tasks: [copier(place, ends)] })
  const first = await at('fra-1', 'disk-a')
  const { _id } = await fleet.fleet.enqueue(copier('any'), {}, { queue })
  await hasSaved(_id)
  await at('par-1', 'disk-b', true)
  await first.stop({ grace: 0 })
  const waiting = await fleet.until(_id, ({ status }) => status === 'pending')
  expect(+waiting.runAt - +waiting.affinity!.since!).toBe(600_000)
  const { tasks } = fleet.fleet.as()
  const why = await tasks.explain({ id: _id.toHexString() })
  expect(why).toMatchObject({ willRun: true, reasons: [{ code: 'CHECKPOINT_ELSEWHERE', workers: ['fra-1'] }] })
  expect(why.reasons[0]!.message).toMatch(/^fra-1 has what .* until .*; no worker of this name is live now$/)
  // Found by the first query of a worker that is new there.
  await at('fra-2', 'disk-a', true)
  expect(await fleet.ended(_id)).toMatchObject({ status: 'completed', host: 'fra-2', output: { place: 'disk-a' } })
})

test('another worker at that place starts it without a query', async () => {
  const queue = ownQueue()
  const holder = await fleet.runner({ queue, name: 'fra-1', tasks: [copier('disk-a')] })
  const { _id } = await fleet.fleet.enqueue(copier('any'), {}, { queue })
  await hasSaved(_id)
  const polls = { queue, pollMs: 3_600_000 }
  await fleet.runner({ ...polls, name: 'par-1', tasks: [copier('disk-b', true)] })
  await fleet.runner({ ...polls, name: 'fra-2', tasks: [copier('disk-a', true)] })
  await holder.stop({ grace: 0 })
  expect(await fleet.ended(_id)).toMatchObject({ host: 'fra-2', output: { place: 'disk-a' } })
})

test('a worker that is back keeps its slots for what it ran before, which comes before others', async () => {
  const queue = ownQueue()
  const post = () => fleet.fleet.enqueue(copier('any'), {}, { queue })
  const gone = { name: 'fra-1', place: 'disk-a' }
  // As a killed process leaves it: running, with a session that nobody renews.
  const { _id } = await post()
  const { store } = fleet.fleet
  const [claim] = await store.claim([_id], { worker: 'gone', host: gone.name })
  await store.saveCheckpoint(_id, claim!.leaseId, { place: gone.place }, { place: gone.place, ms: 600_000 })
  const others = [await post(), await post()]
  const seen: string[] = []
  const prepare = (runner: TaskRunner): unknown => runner.on('claimed', ({ task }) => seen.push(task._id))
  const leaseMs = 2_000
  await fleet.runner({ queue, leaseMs, name: gone.name, concurrency: 1, tasks: [copier(gone.place, true)], prepare })
  for (const one of [...others, { _id }]) await fleet.ended(one._id)
  expect(seen[0]).toBe(_id.toHexString())
  expect(seen).toHaveLength(3)
})

test('a client lets it begin anywhere by saying when', async () => {
  const queue = ownQueue()
  const holder = await fleet.runner({ queue, name: 'fra-1', tasks: [copier('disk-a')] })
  const { _id } = await fleet.fleet.enqueue(copier('any'), {}, { queue })
  await hasSaved(_id)
  await holder.stop({ grace: 0 })
  await fleet.runner({ queue, name: 'par-1', tasks: [copier('disk-b', true)] })
  await fleet.fleet.as().tasks.edit({ id: _id.toHexString(), changes: { runAt: new Date() } })
  expect(await fleet.ended(_id)).toMatchObject({ status: 'completed', host: 'par-1' })
})

test('a handler that does not know its place goes on anywhere', async () => {
  const queue = ownQueue()
  const warned: { msg?: string; name?: string }[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => warned.push(JSON.parse(line)) })
  const task = copier(() => {
    throw new Error('no disk')
  })
  const holder = await fleet.runner({ queue, tasks: [task], log })
  expect(warned).toMatchObject([{ name: 'copier', err: { message: 'no disk' } }])
  const { _id } = await fleet.fleet.enqueue(task, {}, { queue })
  await hasSaved(_id)
  await fleet.runner({ queue, name: 'par-1', tasks: [copier('disk-b', true)] })
  await holder.stop({ grace: 0 })
  expect(await fleet.ended(_id)).toMatchObject({ status: 'completed', host: 'par-1' })
})

test.each([
  ['a word that is not known', 'memory'],
  ['nothing', null],
  ['more than an hour', { checkpoint: '2h' }],
  ['no time', { checkpoint: '0s' }],
  ['a place that is no function', { place: 'disk-a' }],
])('a definition that prefers %s is refused', (_, prefer) => {
  const definition = { name: 'copier', input: z.object({}), prefer: prefer as never, run: () => null }
  expect(() => defineTask(definition)).toThrow(expect.objectContaining({ code: 'BAD_DEFINITION' }))
})
