import type { TaskDocument } from '@taskfleet/core'
import { type Claim, type Hint, type NewTask, Outcome, type Served } from '@taskfleet/core/internal'
import { Types } from 'mongoose'
import { describe, expect, test } from 'vitest'
import type { TaskStoreHarness } from './describe-task-store.ts'
import { taskFactory, testClaimant, testError } from './task-factory.ts'

/** A part of the conformance suite of `TaskStore`: tasks whose checkpoint is of use at one place. */
export function describeAffinity(harnessOf: () => TaskStoreHarness): void {
  describe('a checkpoint that is of use at one place', () => {
    const now = async ({ _id }: { _id: Types.ObjectId }): Promise<TaskDocument> => (await harnessOf().store.find(_id))!
    const here = { ...testClaimant, places: ['disk-a', 'disk-b'] }
    const elsewhere = { ...testClaimant, worker: 'worker-2', host: 'host-2', places: ['disk-c'] }
    const served = (queue: string, place?: string): Served => ({
      queues: [queue],
      tasks: new Map([['test', { oldest: 1, newest: 1 }]]),
      ...(place === undefined ? {} : { affinities: new Map([['test', { place, ms: 60_000 }]]) }),
    })
    const saved = async (over: Partial<NewTask> = {}): Promise<Claim> => {
      const { store } = harnessOf()
      const claim = await taskFactory(store).claimed(over)
      await store.saveCheckpoint(claim.task._id, claim.leaseId, { at: 7 }, { place: 'disk-a', ms: 60_000 })
      return claim
    }
    const ids = (hints: readonly Hint[]): string[] => hints.map(({ _id }) => _id.toHexString())

    test('has the first go at it, and others have it later', async () => {
      const { store } = harnessOf()
      const queue = `place-${new Types.ObjectId().toHexString()}`
      const claim = await saved({ queue })
      const { _id } = claim.task
      await store.settle(claim, Outcome.released())
      const after = await now(claim.task)
      expect(after).toMatchObject({ status: 'pending', affinity: { place: 'disk-a', host: 'host-1', ms: 60_000 } })
      expect([+after.runAt, +after.order]).toEqual(Array(2).fill(+after.affinity!.since! + 60_000))
      for (const place of [undefined, 'disk-c']) {
        expect((await store.waiting(served(queue, place), 10)).due).toEqual([])
      }
      const { due, next } = await store.waiting(served(queue, 'disk-a'), 10)
      expect([ids(due), due[0]!.runAt, next]).toEqual([[_id.toHexString()], after.affinity!.since, []])
      const early: unknown[] = []
      for (const other of [testClaimant, elsewhere]) {
        expect(await store.claim([_id], other, (id) => early.push(id))).toEqual([])
      }
      expect(early).toEqual([_id, _id])
      const [again] = await store.claim([_id], here)
      expect(again!.task).toMatchObject({ attempt: 2, runAt: after.affinity!.since })
      // Once more: the date of the next attempt counts from its own end.
      await store.settle(again!, Outcome.released())
      expect(await store.claim([_id], here)).toMatchObject([{ task: { attempt: 3 } }])
    })

    test.each([
      ['after a failure', (claim: Claim) => harnessOf().store.settle(claim, Outcome.retry(testError, 1_000))],
      [
        'after a failure that costs nothing',
        (claim: Claim) => harnessOf().store.settle(claim, Outcome.deferred(testError, 1_000)),
      ],
      ['after a snooze', (claim: Claim) => harnessOf().store.settle(claim, Outcome.snoozed(1_000))],
    ])('waits its delay first: %s', async (_, settle) => {
      const { store } = harnessOf()
      const claim = await saved()
      await settle(claim)
      const { updatedAt, affinity, runAt } = await now(claim.task)
      expect(+affinity!.since! - +updatedAt).toBeGreaterThanOrEqual(950)
      expect(+runAt - +affinity!.since!).toBe(60_000)
      expect(await store.claim([claim.task._id], here)).toEqual([])
    })

    test('waits for it after the death of its worker, a pause, and a retry by a client', async () => {
      const { store } = harnessOf()
      const claim = await saved()
      const { _id } = claim.task
      await harnessOf().loseWorker(_id)
      await store.reap()
      expect(await store.claim([_id], elsewhere)).toEqual([])
      const [second] = await store.claim([_id], here)
      await store.pause(_id, 'test')
      await store.settle(second!, Outcome.suspended())
      await store.resume(_id)
      expect(await store.claim([_id], elsewhere)).toEqual([])
      const [third] = await store.claim([_id], here)
      await store.settle(third!, Outcome.failed(testError))
      await store.rerun(_id)
      expect(await store.claim([_id], elsewhere)).toEqual([])
      expect(await store.claim([_id], here)).toMatchObject([{ task: { _id, attempt: 4 } }])
    })

    test('is taken elsewhere when its time is over, or a client says when it may start', async () => {
      const { store } = harnessOf()
      const [first, second, third] = [await saved(), await saved(), await saved()]
      for (const claim of [first, second, third]) await store.settle(claim, Outcome.released())
      await harnessOf().moveClock(first.task._id, 61_000)
      expect(await store.claim([first.task._id], elsewhere)).toHaveLength(1)
      await store.edit(second.task._id, { runAt: new Date(Date.now() - 1_000) })
      expect(await store.claim([second.task._id], elsewhere)).toHaveLength(1)
      await store.edit(third.task._id, { runAt: new Date(Date.now() + 60_000) })
      expect(await store.claim([third.task._id], here)).toEqual([])
    })

    test('is of use there only for as long as the checkpoint is from there', async () => {
      const { store } = harnessOf()
      const claim = await saved()
      const { _id } = claim.task
      await store.saveCheckpoint(_id, claim.leaseId, { at: 8 })
      await store.settle(claim, Outcome.released())
      expect((await now(claim.task)).affinity).toBeUndefined()
      const [moved] = await store.claim([_id], elsewhere)
      await store.saveCheckpoint(_id, moved!.leaseId, { at: 9 }, { place: 'disk-c', ms: 60_000 })
      await store.settle(moved!, Outcome.released())
      expect(await store.claim([_id], here)).toEqual([])
      expect(await store.claim([_id], elsewhere)).toHaveLength(1)
    })

    test('a completed task keeps its dates', async () => {
      const { store } = harnessOf()
      const claim = await saved()
      await store.settle(claim, Outcome.completed(1))
      expect((await now(claim.task)).runAt).toEqual(claim.task.runAt)
    })
  })
}
