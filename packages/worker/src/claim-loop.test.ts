import type { TaskDocument } from '@taskfleet/core'
import { type Claim, parseNewTask } from '@taskfleet/core/internal'
import { ownQueue, silent } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { testClaimant } from '@taskfleet/testkit/task-factory'
import { expect, test } from 'vitest'
import { ClaimLoop, type ClaimLoopOptions } from './claim-loop.ts'

const fleet = useFleet()

/** A loop of four slots that serves one queue without limits, for what differs in a test. */
const options = (queue: string): ClaimLoopOptions => ({
  store: fleet.fleet.store,
  clock: fleet.database.clock,
  log: silent,
  claimant: () => testClaimant,
  served: () => ({ queues: [queue], tasks: new Map([['scripted', { oldest: 1, newest: 1 }]]) }),
  serves: () => true,
  free: () => 4,
  begin: () => undefined,
  limited: {
    isLimited: () => false,
    claim: async function* () {
      yield* []
    },
  },
  onDue: () => undefined,
  onNothingDue: () => undefined,
  reportedUntil: () => new Date(Date.now() + 3_600_000),
  beforeAsking: async () => undefined,
  refillEvery: 200,
  pollMs: 30_000,
})

test('the poll finds and counts a due task that the feed has not reported to an idle worker', async () => {
  const queue = ownQueue()
  const claims: Claim[] = []
  const loop = new ClaimLoop({ ...options(queue), begin: (claim) => claims.push(claim) })
  fleet.cleanup(() => loop.stop())
  await loop.start()
  const aMinuteAgo = Math.floor(Date.now() / 1_000) - 60
  await fleet.fleet.store.enqueue([
    parseNewTask({
      _id: `${aMinuteAgo.toString(16)}${'0'.repeat(16)}`,
      name: 'scripted',
      input: { steps: [] },
      queue,
      runAt: new Date(0),
    }),
  ])
  // A worker that was busy until a moment ago may just not have come to it.
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  await loop.poll()
  await eventually(() => claims.length > 0)
  expect(loop.foundByPoll).toBe(1)
})

test('nothing is claimed before the first query, at the start and when changes may have been missed', async () => {
  const queue = ownQueue()
  const { store } = fleet.fleet
  const free: Claim[] = []
  const limited: string[] = []
  let limits = false
  /** Limits the queue, as a query of the database would report it. */
  let tell: () => void = () => undefined
  let asked = 0
  const loop = new ClaimLoop({
    ...options(queue),
    begin: (claim) => free.push(claim),
    limited: {
      isLimited: () => limits,
      claim: async function* (hints, { tried }) {
        limited.push(...hints.map(({ _id }) => _id.toHexString()))
        for (const { _id } of hints) tried.add(_id.toHexString())
      },
    },
    beforeAsking: () => {
      asked += 1
      return new Promise((resolve) => {
        tell = () => {
          limits = true
          resolve()
        }
      })
    },
  })
  fleet.cleanup(() => loop.stop())
  const offered = async (): Promise<TaskDocument> => {
    const task = await fleet.post([], { queue })
    loop.offer(task)
    // A claim that was sent at once has been carried out by now.
    for (let round = 0; round < 5; round += 1) await store.find(task._id)
    return task
  }

  const started = loop.start()
  const first = await offered()
  expect([free, limited]).toEqual([[], []])
  tell()
  await started
  await eventually(() => limited.includes(first._id.toHexString()))

  // It may have been limited without an event in the feed.
  limits = false
  const before = asked
  const caughtUp = loop.lost()
  await eventually(() => asked > before)
  const second = await offered()
  expect(free).toEqual([])
  expect(limited).not.toContain(second._id.toHexString())
  tell()
  await caughtUp
  await eventually(() => limited.includes(second._id.toHexString()))
  expect(free).toEqual([])
})
