import { FleetDatabase } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { CommandTap } from '@taskfleet/testkit/command-tap'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import { TaskRunner } from './task-runner.ts'

const fleet = useFleet()

test('a worker sends only what the first claim needs before a waiting task begins', async () => {
  const queue = 'few-commands'
  const { tap, uri } = await CommandTap.start({ uri: fleet.uri, defer: (end) => fleet.cleanup(end) })
  const begun = new Promise<string[]>((resolve) => {
    const run = (): void => resolve([...tap.take().commands.keys()])
    const waiting = defineTask({ name: 'waiting', input: z.object({}), run })
    const runner = new TaskRunner({ mongo: uri, tasks: [waiting], queues: [queue] })
    fleet.cleanup(() => runner.stop({ grace: 0 }))
    void fleet.fleet.enqueue(waiting, {}, { queue }).then(() => runner.start())
  })
  expect(await begun).toEqual([
    'hello',
    'findAndModify canaries',
    'find settings',
    'findAndModify workers',
    'find queues',
    'find tasks',
    'findAndModify tasks',
  ])
})

test('a start that fails after the first claim gives its tasks back at once', async () => {
  const queue = 'no-feed'
  const { _id } = await fleet.post([{ do: 'waitForAbort' }], { queue })
  const database = await FleetDatabase.connect({ uri: fleet.uri })
  fleet.cleanup(() => database.close())
  vi.spyOn(database, 'streams', 'get').mockImplementation(() => {
    throw new FleetError('DATABASE_FORBIDDEN', 'no change streams')
  })
  await expect(fleet.runner({ queue, mongo: database })).rejects.toMatchObject({ code: 'DATABASE_FORBIDDEN' })
  expect(await fleet.fleet.store.find(_id)).toMatchObject({
    status: 'pending',
    attempts: [{ outcome: 'released' }],
    failures: 0,
  })
})

test('what happens between the first claim and the first change of the feed is not missed', async () => {
  const queue = 'before-the-feed'
  const next = defineTask({ name: 'next', input: z.object({}), run: () => 'done' })
  const first = defineTask({
    name: 'first',
    input: z.object({}),
    // Runs before the feed is open. The worker learns of the cancel and of the next task when it opens, and reads again.
    run: async ({ task, signal }) => {
      const { _id } = await fleet.fleet.enqueue(next, {}, { queue })
      await fleet.fleet.as().tasks.cancel(task.id)
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      signal.throwIfAborted()
      return _id
    },
  })
  const { _id } = await fleet.fleet.enqueue(first, {}, { queue })
  // No poll helps.
  await fleet.runner({ queue, tasks: [first, next], pollMs: 86_400_000 })
  expect(await fleet.ended(_id)).toMatchObject({ status: 'cancelled' })
  await fleet.until((await fleet.fleet.tasks.findOne({ name: 'next' }))!._id, ({ status }) => status === 'completed')
})
