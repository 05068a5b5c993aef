import { once } from 'node:events'
import { Fleet } from '@taskfleet/core'
import { MONGOD, mongodTitle, ReplicaSet } from '@taskfleet/testkit/replica-set'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { defineTask } from '../define-task.ts'
import { TaskRunner } from '../task-runner.ts'

const OPEN_GATE = {
  cpu: { lazy: null },
  memoryLeft: { lazy: null, all: null },
  eventLoopDelayMs: { lazy: null, all: null },
}
const LONG_MS = 45_000

describe.skipIf(MONGOD === undefined)(mongodTitle('a fleet through elections'), { timeout: 600_000 }, () => {
  let set: ReplicaSet
  let fleet: Fleet
  let runner: TaskRunner

  const quick = defineTask({ name: 'quick', input: z.object({ n: z.number() }), run: ({ input }) => input.n })
  const long = defineTask({
    name: 'long',
    input: z.object({}),
    run: async ({ signal }) => {
      await Promise.race([new Promise((resolve) => setTimeout(resolve, LONG_MS)), once(signal, 'abort')])
      signal.throwIfAborted()
    },
  })

  beforeAll(async () => {
    set = await ReplicaSet.start()
    fleet = await Fleet.connect(set.uri, { name: 'elections' })
    runner = new TaskRunner({
      mongo: set.uri,
      db: 'elections',
      tasks: [quick, long],
      concurrency: 16,
      thresholds: OPEN_GATE,
    })
    await runner.start()
  }, 600_000)

  afterAll(async () => {
    await runner?.stop({ grace: 0 })
    await fleet?.close()
    await set?.stop()
  })

  /** Stores tasks while something happens; requests with an unknown outcome are repeated with their ids. */
  async function enqueueDuring(happening: () => Promise<unknown>): Promise<number> {
    let over = false
    const happened = happening().finally(() => {
      over = true
    })
    let acknowledged = 0
    for (let n = 0; !over || n < 100; n += 1) {
      const _id = newId()
      for (;;) {
        try {
          await fleet.enqueue(quick, { n }, { _id })
          acknowledged += 1
          break
        } catch (error) {
          expect(error).toMatchObject({ code: 'UNKNOWN_OUTCOME', ids: [_id] })
        }
      }
    }
    await happened
    return acknowledged
  }

  async function exactlyOnce(acknowledged: number): Promise<void> {
    await vi.waitFor(
      async () => expect(await fleet.tasks.countDocuments({ name: 'quick', status: 'completed' })).toBe(acknowledged),
      { timeout: 120_000, interval: 500 },
    )
    expect(await fleet.tasks.countDocuments({ name: 'quick' })).toBe(acknowledged)
    const twice = { attempts: { $elemMatch: { outcome: 'completed' } }, 'attempts.1.outcome': 'completed' }
    expect(await fleet.tasks.countDocuments({ ...twice, 'attempts.0.outcome': 'completed' })).toBe(0)
    await fleet.tasks.deleteMany({ name: 'quick' })
  }

  test('every acknowledged task runs exactly once while the primary steps down', async () => {
    await exactlyOnce(await enqueueDuring(() => set.stepDown()))
  })

  test('every acknowledged task runs exactly once while the primary is killed', async () => {
    let killed: Awaited<ReturnType<ReplicaSet['killPrimary']>> | undefined
    const acknowledged = await enqueueDuring(async () => {
      killed = await set.killPrimary()
    })
    await killed!.start()
    await exactlyOnce(acknowledged)
  })

  test('a long task goes on in its one attempt through two elections', async () => {
    const { _id } = await fleet.enqueue(long, {})
    await vi.waitFor(async () => expect((await fleet.store.find(_id))?.status).toBe('running'), 30_000)
    await set.stepDown()
    await set.stepDown()
    await vi.waitFor(async () => expect((await fleet.store.find(_id))?.status).toBe('completed'), {
      timeout: 180_000,
      interval: 500,
    })
    expect(await fleet.store.find(_id)).toMatchObject({ attempt: 1, lost: 0, failures: 0 })
  })
})

let made = 0
const newId = (): string => {
  made += 1
  return Date.now().toString(16).slice(-8).padStart(8, '0') + made.toString(16).padStart(16, '0')
}
