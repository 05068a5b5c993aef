import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import { stubbornWorkers } from '../fleet/shutdown-cases.ts'
import { eventually, useFleet } from '../fleet/use-fleet.ts'

const fleet = useFleet()
const { start, post, running, find } = stubbornWorkers(fleet)
beforeEach(() => fleet.fleet.tasks.deleteMany({}))

/** The time beyond the budget that a loaded machine may need to report an end. */
const SLACK_MS = 1_000

// The short form is in `cli/shutdown.test.ts`.
describe('F37: a worker that gets a signal', () => {
  test.each(['2s', '4s', '8s'])(
    'is gone within %s, whatever its handlers do, and no task of it can run before',
    async (budget) => {
      const worker = start('--grace', '500ms', '--stop-timeout', budget)
      await worker.ready()
      const ids = await Promise.all(['deaf', 'deaf', 'good', 'isolated'].map(post))
      await running(...ids)
      const { tookMs, at } = await worker.tell('SIGTERM')
      expect(tookMs).toBeLessThan(Number.parseInt(budget, 10) * 1_000 + SLACK_MS)
      for (const task of await Promise.all(ids.map(find))) expect(task).toMatchObject({ status: 'pending', lost: 0 })
      for (const id of ids.slice(0, 2)) expect((await find(id)).runAt.getTime()).toBeGreaterThanOrEqual(at)
    },
  )

  test('its tasks go on elsewhere, once it is gone', async () => {
    const [first, second] = [start('--grace', '200ms', '--stop-timeout', '3s'), start()]
    await Promise.all([first.ready(), second.ready()])
    const ids = await Promise.all(Array.from({ length: 8 }, () => post('deaf')))
    const before = await running(...ids)
    const { at } = await first.tell('SIGTERM')
    for (const { _id, attempt, worker } of before) {
      const again = await fleet.until(
        _id,
        (task) => task.status === 'running' && task.attempts.at(-1)?.endedAt === undefined,
      )
      if (again.attempt === attempt) continue
      expect(again.worker).not.toBe(worker)
      expect(again.claimedAt!.getTime()).toBeGreaterThanOrEqual(at)
    }
  })

  test('ends in order at any moment of its start', async () => {
    // One that was killed in another test must not be ended here.
    const before = new Set((await fleet.fleet.workers.list()).map(({ _id }) => _id))
    for (let delayMs = 50; delayMs <= 1_650; delayMs += 200) {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        const worker = start()
        await sleep(delayMs)
        const { tookMs, said } = await worker.tell(signal)
        expect(tookMs).toBeLessThan(3_000 + SLACK_MS)
        expect(said).not.toMatch(/ at .*js:\d/)
      }
    }
    await eventually(async () =>
      (await fleet.fleet.workers.list()).every((worker) => before.has(worker._id) || worker.state !== 'running'),
    )
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('ends at once at a second %s, whenever that comes', async (signal) => {
    for (const afterMs of [50, 300, 1_500]) {
      const worker = start('--grace', '5m')
      await worker.ready()
      const ids = await Promise.all(['deaf', 'good', 'isolated'].map(post))
      await running(...ids)
      void worker.tell(signal)
      await sleep(afterMs)
      const { tookMs } = await worker.tell(signal)
      expect(tookMs).toBeLessThan(2_000 + SLACK_MS)
      for (const task of await Promise.all(ids.map(find))) expect(task).toMatchObject({ status: 'pending', lost: 0 })
      await fleet.fleet.tasks.deleteMany({})
    }
  })
})
