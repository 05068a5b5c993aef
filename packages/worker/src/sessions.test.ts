import { setTimeout as sleep } from 'node:timers/promises'
import type { TaskDocument } from '@taskfleet/core'
import { MongoTaskStore } from '@taskfleet/core/internal'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'

const fleet = useFleet()

test('a claim that was applied though its answer was lost is not held for ever', async () => {
  const queue = ownQueue()
  const runner = await fleet.runner({ queue })
  // As after a claim whose answer and read-back were both lost.
  const posted = await fleet.post([], { queue, runAt: new Date(Date.now() + 3_600_000) })
  await fleet.fleet.tasks.updateOne({ _id: posted._id }, { $set: { runAt: new Date(0), status: 'paused' } })
  await fleet.fleet.tasks.updateOne({ _id: posted._id }, [
    {
      $set: {
        ...{ status: 'running', attempt: 1, worker: runner.id, lease: { id: 'unheard', session: runner.id } },
        attempts: [{ n: 1, worker: runner.id, lease: 'unheard', claimedAt: '$$NOW' }],
        rev: { $add: ['$rev', 1] },
      },
    },
  ])
  // Whatever makes it ask the database.
  await fleet.fleet.queues.setPaused(queue, true, 'test')
  await fleet.fleet.queues.setPaused(queue, false, 'test')
  const ended = await fleet.ended(posted._id)
  expect(ended).toMatchObject({ status: 'completed', attempt: 2, lost: 0, failures: 0 })
  expect(ended.attempts[0]).toMatchObject({ outcome: 'released' })
})

test('an attempt that ends while the held tasks are read is not taken for an unanswered claim', async () => {
  const queue = ownQueue()
  const warned: unknown[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => warned.push(JSON.parse(line)) })
  let end = (): void => {}
  const mayEnd = new Promise<void>((resolve) => (end = resolve))
  const patient = defineTask({ name: 'patient', input: z.object({}), run: () => mayEnd })
  const runner = await fleet.runner({ queue, tasks: [patient], log })
  const task = await fleet.fleet.enqueue(patient, {}, { queue })
  await fleet.runsAt(runner, task)
  const { held } = MongoTaskStore.prototype
  const read = new Promise<void>((resolve) => {
    const spy = vi.spyOn(MongoTaskStore.prototype, 'held').mockImplementation(async function (
      this: MongoTaskStore,
      session,
    ) {
      const tasks = await held.call(this, session)
      if (session !== runner.id || tasks.length === 0) return tasks
      end()
      await vi.waitUntil(() => runner.attempt(task._id.toHexString()) === undefined, { timeout: 30_000 })
      resolve()
      return tasks
    })
    fleet.cleanup(() => spy.mockRestore())
  })
  await fleet.fleet.queues.setPaused(queue, true, 'test')
  await read
  await runner.stop()
  expect(warned).toEqual([])
  expect(await fleet.ended(task._id)).toMatchObject({ status: 'completed', attempt: 1 })
})

test('tasks that workers have died with run one at a time, until they have run for a while', async () => {
  const queue = ownQueue()
  const now = new Set<string>()
  let most = 0
  const suspect = defineTask({
    name: 'suspect',
    input: z.object({ saves: z.boolean() }),
    run: async ({ input, task, checkpoint, signal }) => {
      now.add(task.id)
      most = Math.max(most, now.size)
      if (input.saves) await checkpoint.save({ at: task.attempt })
      await sleep(400, undefined, { signal })
      now.delete(task.id)
    },
  })
  const post = async (saves: boolean): Promise<TaskDocument[]> => {
    const tasks = await Promise.all([1, 2, 3].map(() => fleet.fleet.enqueue(suspect, { saves }, { queue })))
    await fleet.fleet.tasks.updateMany({ _id: { $in: tasks.map(({ _id }) => _id) } }, { $set: { lost: 2 } })
    return tasks
  }
  const careful = await post(false)
  await fleet.runner({ queue, tasks: [suspect], concurrency: 8 })
  for (const { _id } of careful) expect(await fleet.ended(_id)).toMatchObject({ status: 'completed', lost: 0 })
  expect(most).toBe(1)
  // One whose checkpoint moves is no suspect any more.
  most = 0
  for (const { _id } of await post(true)) await fleet.ended(_id)
  expect(most).toBeGreaterThan(1)
})
