import { declaredTasks, FleetClient } from '@taskfleet/client'
import { declareTask } from '@taskfleet/protocol'
import { ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { defineTask, UnrecoverableError } from '@taskfleet/worker'
import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'

const fleet = useFleet()
const double = declareTask({ name: 'double', input: z.object({ n: z.int() }), output: z.object({ twice: z.int() }) })

test('a client that knows the contracts stores tasks and waits for their outputs, typed', async () => {
  const queue = ownQueue()
  const handler = defineTask(double, {
    run({ input: { n } }) {
      if (n < 0) throw new UnrecoverableError('NEGATIVE', 'n is negative')
      return { twice: 2 * n }
    },
  })
  await fleet.runner({ queue, tasks: [handler] })
  const { url } = await startGateway(fleet)
  const client = new FleetClient({ url: url! })
  try {
    const calls = declaredTasks(client, { double })
    expectTypeOf(calls.double.enqueue).parameter(0).toEqualTypeOf<{ n: number }>()
    expectTypeOf(calls.double.result).returns.resolves.toEqualTypeOf<{ twice: number }>()
    const good = await calls.double.enqueue({ n: 21 }, { queue })
    expect(await calls.double.result(good._id)).toEqual({ twice: 42 })
    const bad = await calls.double.enqueue({ n: -1 }, { queue })
    await expect(calls.double.result(bad._id)).rejects.toMatchObject({ code: 'NEGATIVE' })
    await expect(calls.double.enqueue({ n: 'x' as never })).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      field: 'input.n',
    })
    await expect(calls.double.result('f'.repeat(24))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  } finally {
    client.close()
  }
})
