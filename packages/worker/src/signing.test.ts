import { newSigningKey, type SigningMode } from '@taskfleet/core'
import { MemoryDatabase } from '@taskfleet/core/memory'
import { hasEnded } from '@taskfleet/protocol'
import { ObjectId } from 'mongodb'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import { TaskRunner } from './task-runner.ts'

const pay = defineTask({
  name: 'pay',
  input: z.object({ to: z.string() }),
  replay: false,
  run: ({ input }) => input.to,
})

/** A fleet in memory with a worker that trusts its producer. */
async function fleetWith(mode: SigningMode) {
  const memory = new MemoryDatabase()
  const { key, trusted } = newSigningKey('ed25519')
  const logged: { code?: string }[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => logged.push(JSON.parse(line)) })
  const fleet = memory.fleet({ signing: { key } })
  const runner = new TaskRunner({ mongo: memory.database, tasks: [pay], log, signing: { mode, trusted: [trusted] } })
  await runner.start()
  onTestFinished(() => runner.stop())
  const ended = (id: ObjectId) =>
    new Promise<{ status: string; output?: unknown; error?: { code: string }; attempt: number }>((resolve) => {
      const look = async (): Promise<void> => {
        const task = await fleet.store.find(id)
        if (task !== null && hasEnded(task.status)) resolve(task)
      }
      onTestFinished(memory.onChange(() => void look()))
      void look()
    })
  /** A change by a person with write access to the database. */
  const forged = async (over: object = {}) => {
    const made = await fleet.enqueue(pay, { to: 'ann' }, { runAt: new Date('2099-01-01') })
    const _id = new ObjectId()
    const doc = (await memory.db.collection('tasks').findOne({ _id: made._id }))!
    await memory.db.collection('tasks').insertOne({ ...doc, _id, runAt: new Date(0), order: new Date(0), ...over })
    return _id
  }
  return { memory, fleet, runner, ended, forged, logged }
}

test('a worker that requires signatures runs signed tasks, and fails the others without a retry', async () => {
  const { fleet, ended, forged } = await fleetWith('required')
  const good = await fleet.enqueue(pay, { to: 'ann' })
  expect(await ended(good._id)).toMatchObject({ status: 'completed', output: 'ann' })
  const failed = { status: 'failed', attempt: 1 }
  expect(await ended(await forged())).toMatchObject({ ...failed, error: { code: 'BAD_SIGNATURE' } })
  expect(await ended(await forged({ signature: undefined }))).toMatchObject({
    ...failed,
    error: { code: 'UNSIGNED_TASK' },
  })
})

test('one that warns runs them and logs it', async () => {
  const { ended, forged, logged } = await fleetWith('warn')
  expect(await ended(await forged())).toMatchObject({ status: 'completed' })
  expect(logged).toContainEqual(expect.objectContaining({ code: 'BAD_SIGNATURE' }))
})

test('a task that must not run twice is not replayed, not even by a write to the database', async () => {
  const { fleet, ended, memory, runner } = await fleetWith('off')
  const once = await fleet.enqueue(pay, { to: 'ann' })
  await ended(once._id)
  const id = once._id.toHexString()
  const replayed = await fleet.as().tasks.replay({ id })
  expect(replayed).toMatchObject({ changed: 0, refused: [{ id, error: { code: 'REPLAY_NOT_ALLOWED' } }] })
  const again = new Promise((resolve) => runner.once('fail', resolve))
  await memory.db
    .collection('tasks')
    .updateOne({ _id: once._id }, [
      { $set: { status: 'pending', runAt: '$$NOW', order: '$$NOW', rev: { $add: ['$rev', 1] } } },
    ])
  expect(await again).toMatchObject({ error: { code: 'REPLAY_NOT_ALLOWED' } })
})
