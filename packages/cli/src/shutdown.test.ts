import { setTimeout as sleep } from 'node:timers/promises'
import { stubbornWorkers } from '@taskfleet/testkit/fleet/shutdown-cases'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { beforeEach, describe, expect, test } from 'vitest'

const fleet = useFleet()
const { start, post, running, find } = stubbornWorkers(fleet)

// What a test leaves behind would be run by the next one's worker.
beforeEach(() => fleet.fleet.tasks.deleteMany({}))

/** What a loaded machine takes beyond the budget to tell of an end. */
const SLACK_MS = 5_000

describe('a worker that gets a signal', () => {
  test('ends within its budget, and before a handler that ignores its signal can run elsewhere', async () => {
    const worker = start('--grace', '100ms', '--stop-timeout', '8s')
    await worker.ready()
    const [deaf, good] = [await post('deaf'), await post('good')]
    await running(deaf, good)
    const { code, tookMs, at } = await worker.tell('SIGTERM')
    expect(code).toBe(0)
    expect(tookMs).toBeLessThan(8_000 + SLACK_MS)
    for (const id of [deaf, good]) {
      expect(await find(id)).toMatchObject({
        status: 'pending',
        lost: 0,
        failures: 0,
        attempts: [{ outcome: 'released' }],
      })
    }
    expect((await find(deaf)).runAt.getTime()).toBeGreaterThanOrEqual(at)
    expect((await find(good)).runAt.getTime()).toBeLessThan(at)
  })

  test('ends at once at the second signal, and releases what it can', async () => {
    const worker = start('--grace', '1m')
    await worker.ready()
    const [deaf, good] = [await post('deaf'), await post('good')]
    await running(deaf, good)
    const ended = worker.tell('SIGINT')
    await sleep(200)
    expect(worker.alive).toBe(true)
    const { code, tookMs } = await worker.tell('SIGINT')
    await ended
    expect(code).toBe(130)
    expect(tookMs).toBeLessThan(2_000 + SLACK_MS)
    for (const id of [deaf, good]) expect(await find(id)).toMatchObject({ status: 'pending', lost: 0 })
  })

  test('ends within its budget although a handler blocks its event loop by then', async () => {
    const worker = start('--grace', '100ms', '--stop-timeout', '2s')
    await worker.ready()
    await running(await post('blocking'))
    const { signal, tookMs } = await worker.tell('SIGTERM')
    expect(signal).toBe('SIGKILL')
    expect(tookMs).toBeLessThan(2_000 + SLACK_MS)
  })

  test('leaves no process of a handler behind', async () => {
    const worker = start('--grace', '100ms', '--stop-timeout', '5s')
    await worker.ready()
    const id = await post('isolated')
    const { checkpoint } = await fleet.until(id, (task) => task.checkpoint !== undefined)
    const { pid } = checkpoint as { pid: number }
    expect((await worker.tell('SIGTERM')).code).toBe(0)
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)
    expect(await find(id)).toMatchObject({ status: 'pending', lost: 0 })
  })

  test('ends in order while it starts', async () => {
    // One that was killed in another test must not be ended here.
    const before = new Set((await fleet.fleet.workers.list()).map(({ _id }) => _id))
    for (const delayMs of [300, 900]) {
      const worker = start()
      await sleep(delayMs)
      const { tookMs, said } = await worker.tell('SIGTERM')
      expect(tookMs).toBeLessThan(3_000 + SLACK_MS)
      expect(said).not.toMatch(/ at .*js:\d/)
    }
    await eventually(async () =>
      (await fleet.fleet.workers.list()).every((worker) => before.has(worker._id) || worker.state !== 'running'),
    )
  })
})

describe('a worker whose handlers misbehave', () => {
  test.each(['exits', 'rejects'])('lives on, and so do its other tasks: one that %s', async (name) => {
    const worker = start()
    await worker.ready()
    const soon = await post('soon')
    await running(soon)
    const bad = await post(name)
    const { status, error, lost, attempt } = await fleet.ended(bad)
    expect({ status, lost, attempt, code: error?.code }).toEqual({
      status: 'failed',
      lost: 0,
      attempt: 5,
      code: 'UNHANDLED_IN_HANDLER',
    })
    expect(await fleet.ended(soon)).toMatchObject({ status: 'completed', output: 'whole', attempt: 1 })
    expect(worker.alive).toBe(true)
  })

  test('releases its tasks and ends with an error when an error belongs to no attempt', async () => {
    const worker = start()
    await worker.ready()
    const good = await post('good')
    await running(good)
    const hidden = await post('hidden')
    const { code, said } = await worker.ended()
    expect(code).toBe(1)
    expect(said).toContain('whose is this?')
    expect(said).toContain(hidden.toHexString())
    for (const id of [good, hidden]) expect(await find(id)).toMatchObject({ status: 'pending', lost: 0, failures: 0 })
  })

  test('blames the only running handler, so that the error does not repeat for ever', async () => {
    const worker = start()
    await worker.ready()
    const hidden = await post('hidden')
    expect((await worker.ended()).code).toBe(1)
    expect(await find(hidden)).toMatchObject({
      failures: 1,
      lost: 0,
      attempts: [{ error: { code: 'UNHANDLED_IN_HANDLER' } }],
    })
  })
})
