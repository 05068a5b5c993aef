import { declareTask as contract } from '@taskfleet/protocol'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { declareTask, defineTask } from './define-task.ts'

const fleet = useFleet()
const sum = contract({
  name: 'sum',
  version: 3,
  input: z.object({ parts: z.array(z.number()) }),
  output: z.object({ sum: z.int() }),
})

describe('a task that is declared without its handler', () => {
  test('is stored by a program with the contract alone, and run by a worker with the handler', async () => {
    const handler = defineTask(sum, {
      async run({ input }) {
        expectTypeOf(input).toEqualTypeOf<{ parts: number[] }>()
        return { sum: input.parts.reduce((a, b) => a + b, 0) }
      },
    })
    expect(handler).toMatchObject({ name: 'sum', version: 3 })
    const queue = ownQueue()
    await fleet.runner({ queue, tasks: [handler] })
    const { _id } = await fleet.fleet.enqueue(sum, { parts: [1, 2] }, { queue })
    expect(await fleet.ended(_id)).toMatchObject({ status: 'completed', version: 3, output: { sum: 3 } })
    await expect(fleet.fleet.enqueue(sum, { parts: ['1'] as never }, { queue })).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      field: 'input.parts.0',
    })
  })

  test('fails with OUTPUT_INVALID if the handler returns something else', async () => {
    const queue = ownQueue()
    const wrong = defineTask(sum, { retry: { maxAttempts: 1 }, run: () => ({ sum: 0.5 }) })
    await fleet.runner({ queue, tasks: [wrong] })
    const { _id } = await fleet.fleet.enqueue(sum, { parts: [] }, { queue })
    expect(await fleet.ended(_id)).toMatchObject({ status: 'failed', error: { code: 'OUTPUT_INVALID' } })
  })

  test('without a schema takes any input, and `handle` is the same as `defineTask`', async () => {
    const queue = ownQueue()
    const echo = declareTask({ name: 'echo' })
    await fleet.runner({ queue, tasks: [echo.handle({ lazy: false, run: ({ input }) => input })] })
    const { _id } = await fleet.fleet.enqueue(echo, { any: ['thing', 1] }, { queue })
    expect(await fleet.ended(_id)).toMatchObject({ status: 'completed', output: { any: ['thing', 1] } })
  })

  test.each([
    [{ name: 'no name' }, 'BAD_NAME'],
    [{ name: 'x', version: 0 }, 'BAD_DEFINITION'],
    [{ name: 'x', input: {} }, 'BAD_DEFINITION'],
    [{ name: 'x', output: 5 }, 'BAD_DEFINITION'],
  ])('%j is refused with %s', (declaration, code) => {
    expect(() => contract(declaration as never)).toThrow(expect.objectContaining({ code }))
  })
})

test('a worker publishes the schemas of its handlers, and producers with only the name get the errors', async () => {
  const { queue, name } = { queue: ownQueue(), name: 'published-by-worker' }
  const published = defineTask({ name, input: z.object({ n: z.int() }), run: ({ input: { n } }) => n * 2 })
  await fleet.runner({ queue, tasks: [published] })
  const { tasks } = fleet.fleet.as()
  await expect
    .poll(() => tasks.enqueue({ name, queue, input: { n: 'one' } }).catch((error: { code: string }) => error.code))
    .toBe('INPUT_INVALID')
  const stored = await tasks.enqueue({ name, queue, input: { n: 4 } })
  expect(stored).not.toHaveProperty('served')
  expect(await fleet.fleet.result(stored._id)).toMatchObject({ status: 'completed', output: 8 })
})
