import { scriptedTask } from '@taskfleet/testkit/fleet/scripted-task'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'

const fleet = useFleet()
const hex = (task: { _id: { toHexString(): string } }): string => task._id.toHexString()

const gather = defineTask({
  name: 'gather',
  input: z.object({}),
  run: async ({ results }) =>
    [...(await results())].map(([id, { status, output, error }]) => ({ id, status, output, code: error?.code })),
})

test('a handler reads the outputs of its predecessors, in the order in which they were named', async () => {
  const queue = ownQueue()
  const first = await fleet.post([{ do: 'return', value: { n: 1 } }], { queue })
  const second = await fleet.post([{ do: 'fail', fatal: true, code: 'BROKEN' }], { queue })
  const after = [hex(second), hex(first)]
  const last = await fleet.fleet.enqueue(gather, {}, { queue, after, ifFailed: 'run' })
  await fleet.runner({ queue, tasks: [scriptedTask(), gather] })
  const { output } = await fleet.ended(last._id)
  expect(output).toMatchObject([
    { id: after[0], status: 'failed', code: 'BROKEN' },
    { id: after[1], status: 'completed', output: { n: 1 } },
  ])
})

test('a task that fails, or is cancelled while it runs, ends the tasks that wait for it at once', async () => {
  const queue = ownQueue()
  const failing = await fleet.post([{ do: 'fail', fatal: true }], { queue })
  const stopped = await fleet.post([{ do: 'waitForAbort' }], { queue })
  const [afterFailing, afterStopped] = [
    await fleet.post([], { queue, after: hex(failing) }),
    await fleet.post([], { queue, after: hex(stopped), ifFailed: 'cancel' }),
  ]
  const last = await fleet.post([], { queue, after: [hex(afterFailing), hex(afterStopped)], ifFailed: 'run' })
  const runner = await fleet.runner({ queue, pollMs: 3_600_000 })
  await fleet.runsAt(runner, stopped)
  await fleet.fleet.control().cancel({ id: hex(stopped) })
  expect(await fleet.ended(afterFailing._id)).toMatchObject({
    status: 'failed',
    attempt: 0,
    error: { code: 'PREDECESSOR_FAILED', message: expect.stringContaining(hex(failing)) },
  })
  expect(await fleet.ended(afterStopped._id)).toMatchObject({ status: 'cancelled', attempt: 0 })
  expect(await fleet.ended(last._id)).toMatchObject({ status: 'completed' })
})
