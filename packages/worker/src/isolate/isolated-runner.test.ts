import { scriptedTask } from '@taskfleet/testkit/fleet/scripted-task'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test, vi } from 'vitest'
import { type ActName, handler } from './test-handlers.mjs'

vi.mock('../files.ts', () => import('./test-built-files.ts'))

const fleet = useFleet()
const QUICK = { maxAttempts: 1 }

describe.each(['process', 'thread'] as const)('a worker whose handler runs in a %s of its own', (kind) => {
  const start = async (...names: ActName[]) => {
    const queue = ownQueue()
    const tasks = [...names.map((name) => handler(name, kind)), scriptedTask()]
    const runner = await fleet.runner({ queue, tasks, heartbeatMs: 100, abortGrace: 100, concurrency: 2 })
    const post = (name: ActName, input: unknown = {}) =>
      fleet.fleet.enqueue(handler(name, kind), input, { queue, ...QUICK })
    return { queue, runner, post }
  }

  test('stores its output, log lines and checkpoint', async () => {
    const { runner, post } = await start('echo', 'talk', 'resume')
    const [echo, talk, resume] = [await post('echo', { at: new Date(1_000) }), await post('talk'), await post('resume')]
    expect(await fleet.ended(echo._id)).toMatchObject({ output: { at: new Date(1_000) } })
    await fleet.ended(talk._id)
    expect(await fleet.ended(resume._id)).toMatchObject({ checkpoint: { n: 1 } })
    await runner.stop()
    const lines = await fleet.fleet.control().taskLog({ id: talk._id.toHexString() })
    expect(lines.map(({ message }) => message)).toEqual(['begins', 'goes on'])
  })

  test('reads the outputs of its predecessors', async () => {
    const { runner, queue } = await start('echo', 'gathers')
    const post = (input: unknown) => fleet.fleet.enqueue(handler('echo', kind), input, { queue })
    const [first, second] = [await post(1), await post({ two: 2 })]
    const after = [second, first].map(({ _id }) => _id.toHexString())
    const last = await fleet.fleet.enqueue(handler('gathers', kind), {}, { queue, after })
    expect(await fleet.ended(last._id)).toMatchObject({ output: { ids: after, outputs: [{ two: 2 }, 1] } })
    await runner.stop()
  })

  test('a crash is a failed attempt with HANDLER_CRASHED, and the other tasks go on', async () => {
    const { queue, post } = await start('exits')
    const neighbour = await fleet.post(
      [
        { do: 'sleep', ms: 300 },
        { do: 'return', value: 'unharmed' },
      ],
      { queue },
    )
    const crashing = await post('exits')
    expect(await fleet.ended(crashing._id)).toMatchObject({
      status: 'failed',
      failures: 1,
      error: { code: 'HANDLER_CRASHED' },
    })
    expect(await fleet.ended(neighbour._id)).toMatchObject({ output: 'unharmed', attempt: 1 })
  })

  test('a rejected promise without await fails its attempt alone, also when the handler returns at once', async () => {
    const { post } = await start('leaks', 'leaksAndReturns')
    for (const name of ['leaks', 'leaksAndReturns'] as const) {
      const { status, error } = await fleet.ended((await post(name))._id)
      expect(status).toBe('failed')
      expect(error).toMatchObject({ code: 'UNHANDLED_IN_HANDLER' })
      expect(error?.message).toContain('TypeError: nobody awaits this')
      expect(error?.stack).toContain('test-handlers')
    }
  })

  test('an error after the end of its attempt does not affect the next one in the same isolate', async () => {
    const { post } = await start('leaksAfterwards', 'takesItsTime')
    const first = await fleet.ended((await post('leaksAfterwards'))._id)
    const next = await fleet.ended((await post('takesItsTime'))._id)
    expect(next).toMatchObject({ status: 'completed', attempt: 1, output: first.output })
  })

  test('one that blocks for ever affects neither the heartbeat nor other tasks, and can be cancelled', async () => {
    const { queue, runner, post } = await start('blocks')
    const blocking = await post('blocks')
    await fleet.runsAt(runner, blocking)
    const before = (await fleet.fleet.workers.find(runner.id))!.rev
    await eventually(async () => (await fleet.fleet.workers.find(runner.id))!.rev > before + 2)
    expect(await fleet.ended((await fleet.post([{ do: 'return', value: 1 }], { queue }))._id)).toMatchObject({
      output: 1,
    })
    await fleet.fleet.control().cancel({ id: blocking._id.toHexString(), reason: 'it hangs' })
    expect(await fleet.ended(blocking._id)).toMatchObject({ status: 'cancelled' })
  })
})

test('a task with a process of its own needs the path of its module', async () => {
  const odd = Object.assign(handler('echo', 'process'), { module: undefined })
  await expect(fleet.runner({ tasks: [odd] })).rejects.toMatchObject({ code: 'BAD_DEFINITION' })
})
