import type { Claim, TaskDocument } from '@taskfleet/core'
import { testClaimant } from '@taskfleet/core/testing'
import { expect, test } from 'vitest'
import { ClaimLoop } from './claim-loop.ts'
import { ownQueue, silent } from './testing/test-sockets.ts'
import { eventually, useFleet } from './testing/use-fleet.ts'

const fleet = useFleet()

test('nothing is claimed before it is known what may be, at the start and when changes may have been missed', async () => {
  const queue = ownQueue()
  const { store } = fleet.fleet
  const free: Claim[] = []
  const limited: string[] = []
  let limits = false
  /** Says that the queue is limited, as the database does to whoever asks. */
  let tell: () => void = () => undefined
  let asked = 0
  const loop = new ClaimLoop({
    store,
    clock: fleet.database.clock,
    log: silent,
    claimant: () => testClaimant,
    served: () => ({ queues: [queue], tasks: new Map([['scripted', { oldest: 1, newest: 1 }]]) }),
    serves: () => true,
    free: () => 4,
    begin: (claim) => free.push(claim),
    limited: {
      isLimited: () => limits,
      claim: async function* (hints) {
        limited.push(...hints.map(({ _id }) => _id.toHexString()))
      },
    },
    onDue: () => undefined,
    onNothingDue: () => undefined,
    beforeAsking: () => {
      asked += 1
      return new Promise((resolve) => {
        tell = () => {
          limits = true
          resolve()
        }
      })
    },
    refillEvery: 200,
    pollMs: 30_000,
  })
  fleet.cleanup(() => loop.close())
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

  // It may have been limited while nobody heard of it.
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
