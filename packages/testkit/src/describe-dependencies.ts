import type { TaskDocument } from '@taskfleet/core'
import { type Claim, type NewTask, Outcome, predecessorsOf, type TaskStore } from '@taskfleet/core/internal'
import type { IfFailed } from '@taskfleet/protocol'
import { Types } from 'mongoose'
import { beforeAll, describe, expect, test } from 'vitest'
import { newTask, taskFactory, testClaimant, testError } from './task-factory.ts'

/** Ends all predecessors of a blocked task, and unblocks it. Does nothing to other tasks. */
export async function endPredecessor(store: TaskStore, task: TaskDocument, outcome: Outcome): Promise<void> {
  for (const id of predecessorsOf(task)) {
    const [claim] = await store.claim([id], testClaimant)
    if (claim !== undefined) await store.settle(claim, outcome)
    await store.unblock(id)
  }
}

/** The part of the conformance suite of `TaskStore` about tasks that wait for others. */
export function describeDependencies(open: () => TaskStore): void {
  describe('tasks that wait for others', () => {
    let store: TaskStore
    let make: ReturnType<typeof taskFactory>
    beforeAll(() => {
      store = open()
      make = taskFactory(store)
    })

    const now = async ({ _id }: { _id: Types.ObjectId }): Promise<TaskDocument> => (await store.find(_id))!
    const status = async (task: { _id: Types.ObjectId }): Promise<string> => (await now(task)).status
    const after = (tasks: readonly (Claim | TaskDocument)[], over: Partial<NewTask> = {}): Promise<TaskDocument> => {
      const ids = tasks.map((one) => ('task' in one ? one.task._id : one._id))
      return make.pending({ after: ids.length === 1 ? ids[0]! : ids, ...over })
    }
    const end = async (claim: Claim, outcome: Outcome = Outcome.completed(1)): Promise<void> => {
      await store.settle(claim, outcome)
      await store.unblock(claim.task._id)
    }
    const fail = (claim: Claim): Promise<void> => end(claim, Outcome.failed(testError))
    const again = async (task: { _id: Types.ObjectId }): Promise<Claim> => {
      await store.rerun(task._id)
      return (await store.claim([task._id], testClaimant))[0]!
    }

    test('one is unblocked when its predecessor completes', async () => {
      const first = await make.claimed()
      const next = await after([first])
      expect(next.status).toBe('blocked')
      await end(first)
      expect(await status(next)).toBe('pending')
      expect((await after([first])).status).toBe('pending')
    })

    test('one with several predecessors is unblocked when the last of them completes', async () => {
      const all = [await make.claimed(), await make.claimed(), await make.claimed()]
      const next = await after(all)
      expect(next.after).toEqual(all.map(({ task }) => task._id))
      await end(all[2]!)
      await end(all[0]!)
      expect(await status(next)).toBe('blocked')
      await end(all[1]!)
      expect(await status(next)).toBe('pending')
    })

    test('a completed predecessor that was removed still counts as completed', async () => {
      const [first, second] = [await make.claimed(), await make.claimed()]
      const next = await after([first, second])
      await end(first)
      await store.remove(first.task._id)
      await end(second)
      expect(await status(next)).toBe('pending')
    })

    const failures: [string, (claim: Claim) => Promise<unknown>][] = [
      ['fails', fail],
      ['is cancelled', (claim) => end(claim, Outcome.stopped())],
      [
        'is cancelled while it waits',
        async ({ task, leaseId }) => {
          await store.settle({ task, leaseId }, Outcome.released())
          await store.cancel(task._id, 'test')
        },
      ],
      [
        'is removed after it has failed',
        async ({ task, leaseId }) => {
          await store.settle({ task, leaseId }, Outcome.failed(testError))
          await store.remove(task._id)
        },
      ],
    ]
    const becomes: Record<IfFailed, string> = { fail: 'failed', cancel: 'cancelled', run: 'pending', wait: 'blocked' }

    describe.each(failures)('when the task that it waits for %s', (_name, happens) => {
      test.each(Object.entries(becomes))(`with ifFailed '%s' it is %s`, async (ifFailed, status) => {
        const first = await make.claimed()
        const next = await after([first], { ifFailed: ifFailed as IfFailed })
        await happens(first)
        const then = await now(next)
        expect(then.status).toBe(status)
        const ends = status === 'failed' || status === 'cancelled'
        expect(then.error?.code).toBe(ends ? 'PREDECESSOR_FAILED' : undefined)
        if (ends) expect(then.error?.message).toContain(first.task._id.toHexString())
        expect(then.finishedAt !== undefined).toBe(ends)
      })
    })

    test('a failure counts at once, even if other predecessors are open', async () => {
      const [first, open] = [await make.claimed(), await make.claimed()]
      const next = await after([open, first])
      await fail(first)
      expect(await now(next)).toMatchObject({ status: 'failed', error: { code: 'PREDECESSOR_FAILED' } })
    })

    test(`with ifFailed 'run' it waits until all have ended`, async () => {
      const [first, second] = [await make.claimed(), await make.claimed()]
      const next = await after([first, second], { ifFailed: 'run' })
      await fail(first)
      expect(await status(next)).toBe('blocked')
      await end(second)
      expect(await status(next)).toBe('pending')
    })

    test(`with ifFailed 'wait' it is unblocked when the failed one is retried and completes`, async () => {
      const first = await make.claimed()
      const next = await after([first], { ifFailed: 'wait' })
      await fail(first)
      await end(await again(first.task))
      expect(await status(next)).toBe('pending')
    })

    test('a failure spreads along a chain, each by its own ifFailed', async () => {
      const first = await make.claimed()
      const second = await after([first])
      const third = await after([second], { ifFailed: 'cancel' })
      const fourth = await after([third])
      const last = await after([fourth], { ifFailed: 'run' })
      await fail(first)
      const all = await Promise.all([second, third, fourth, last].map(status))
      expect(all).toEqual(['failed', 'cancelled', 'failed', 'pending'])
    })

    test('one that is enqueued after the failure ends in the same way', async () => {
      const first = await make.claimed()
      await fail(first)
      expect(await after([first])).toMatchObject({ status: 'failed', error: { code: 'PREDECESSOR_FAILED' } })
      expect(await after([first], { ifFailed: 'wait' })).toMatchObject({ status: 'blocked' })
      expect(await after([first], { ifFailed: 'run' })).toMatchObject({ status: 'pending' })
    })

    test('one that fails with POISON ends the tasks that wait for it', async () => {
      const first = await make.claimed({ maxAttempts: 1 })
      const next = await after([first])
      await store.settle(first, Outcome.retry(testError, 0))
      expect(await store.unblockAll()).toBeGreaterThanOrEqual(1)
      expect(await status(next)).toBe('failed')
    })

    test('none stays blocked by a task that ends while others are enqueued to wait for it', async () => {
      for (let round = 0; round < 10; round += 1) {
        const first = await make.claimed()
        const [next] = await Promise.all([after([first]), end(first)])
        expect(await status(next)).toBe('pending')
      }
    })

    test('none stays blocked when all its predecessors end at once', async () => {
      const all = await Promise.all(Array.from({ length: 12 }, () => make.claimed()))
      const next = await after(all)
      await Promise.all(all.map((one) => end(one)))
      expect(await status(next)).toBe('pending')
    })

    describe('cycles', () => {
      const refused = { code: 'DEPENDENCY_CYCLE', field: 'after' }

      test('a task can not wait for itself', async () => {
        const _id = new Types.ObjectId()
        await expect(store.enqueue([newTask({ _id, after: _id })])).rejects.toMatchObject(refused)
        expect(await store.find(_id)).toBeNull()
        const there = await make.pending()
        await expect(store.edit(there._id, { after: [there._id] })).rejects.toMatchObject(refused)
        expect(await now(there)).toEqual(there)
      })

      test('tasks of one batch can not wait for each other, but in any order', async () => {
        const [a, b, c] = [new Types.ObjectId(), new Types.ObjectId(), new Types.ObjectId()]
        const circle = [
          newTask({ _id: a, after: c }),
          newTask({ _id: b, after: [a] }),
          newTask({ _id: c, after: [b] }),
          newTask(),
        ]
        await expect(store.enqueue(circle)).rejects.toMatchObject(refused)
        expect(await store.find(b)).toBeNull()
        const row = await store.enqueue([
          newTask({ _id: a, after: [b, c] }),
          newTask({ _id: b, after: c }),
          newTask({ _id: c }),
        ])
        expect(row.map((task) => task.status)).toEqual(['blocked', 'blocked', 'pending'])
      })

      test('an edit can not close a cycle of any length, nor through an ended task that may be retried', async () => {
        const first = await make.pending()
        const second = await after([first], { ifFailed: 'wait' })
        const third = await after([await make.pending(), second])
        await expect(store.edit(first._id, { after: [third._id] })).rejects.toMatchObject(refused)
        await store.cancel(third._id, 'test')
        await expect(store.edit(first._id, { after: [third._id] })).rejects.toMatchObject(refused)
        expect(await now(first)).toEqual(first)
      })

      test('two simultaneous edits can not close a cycle', async () => {
        for (let round = 0; round < 5; round += 1) {
          const [a, b] = [await make.pending(), await make.pending()]
          const edits = await Promise.allSettled([
            store.edit(a._id, { after: [b._id] }),
            store.edit(b._id, { after: [a._id] }),
          ])
          expect(edits.map((one) => one.status).sort()).toEqual(['fulfilled', 'rejected'])
          expect([await status(a), await status(b)].sort()).toEqual(['blocked', 'pending'])
        }
      })

      test('a removed id can not be used again for a task that waits for its own successor', async () => {
        const first = await make.failed()
        const next = await after([first], { ifFailed: 'wait' })
        await store.remove(first._id)
        const reborn = newTask({ _id: first._id, after: next._id })
        await expect(store.enqueue([reborn])).rejects.toMatchObject(refused)
      })

      test('a task can not wait for a missing task', async () => {
        const missing = new Types.ObjectId()
        const there = await make.pending()
        const code = { code: 'NOT_FOUND', field: 'after' }
        await expect(after([there, { ...there, _id: missing }])).rejects.toMatchObject(code)
        await expect(store.edit(there._id, { after: [missing] })).rejects.toMatchObject(code)
      })
    })

    describe('retried', () => {
      test('a blocked task that was cancelled is blocked again while its predecessor is open', async () => {
        const first = await make.claimed()
        const next = await after([first])
        await store.cancel(next._id, 'test')
        expect(await store.rerun(next._id)).toMatchObject({ status: 'blocked' })
        await end(first)
        expect(await status(next)).toBe('pending')
      })

      test.each(['fail', 'cancel'] as const)(
        `with ifFailed '%s' it waits for the retry of the one that failed, and a new failure counts`,
        async (ifFailed) => {
          const first = await make.claimed()
          const next = await after([first], { ifFailed })
          await fail(first)
          expect(await store.rerun(next._id)).toMatchObject({ status: 'blocked' })
          await store.unblockAll()
          expect(await status(next)).toBe('blocked')
          await fail(await again(first.task))
          expect(await status(next)).toBe(ifFailed === 'fail' ? 'failed' : 'cancelled')
          await store.rerun(next._id)
          await end(await again(first.task))
          expect(await status(next)).toBe('pending')
        },
      )

      test('one whose predecessor completed meanwhile waits for a worker', async () => {
        const first = await make.claimed()
        const next = await after([first])
        await store.cancel(next._id, 'test')
        await end(first)
        expect(await store.rerun(next._id)).toMatchObject({ status: 'pending' })
      })

      test('one that has run does not need predecessors that retention removed', async () => {
        const first = await make.claimed()
        const next = await after([first])
        await end(first)
        const [claim] = await store.claim([next._id], testClaimant)
        await store.settle(claim!, Outcome.failed(testError))
        await store.remove(first.task._id)
        expect(await store.rerun(next._id)).toMatchObject({ status: 'pending' })
      })
    })

    describe('edited', () => {
      test('with null it waits for none, then for others', async () => {
        const [first, other] = [await make.claimed(), await make.claimed()]
        const next = await after([first])
        const free = await store.edit(next._id, { after: [] })
        expect(free).toMatchObject({ status: 'pending', rev: next.rev + 1 })
        expect(free).not.toHaveProperty('after')
        expect(await store.edit(next._id, { after: [other.task._id] })).toMatchObject({ status: 'blocked' })
        await end(first)
        expect(await status(next)).toBe('blocked')
        await end(other)
        expect(await status(next)).toBe('pending')
      })

      test('a completed predecessor does not block it, and a failed one ends it', async () => {
        const next = await after([await make.pending()])
        const done = await make.completed()
        expect(await store.edit(next._id, { after: [done._id] })).toMatchObject({ status: 'pending', after: done._id })
        const failed = await make.failed()
        expect(await store.edit(next._id, { after: [done._id, failed._id] })).toMatchObject({ status: 'failed' })
      })

      test('ifFailed can be changed, also after the failure', async () => {
        const first = await make.claimed()
        const next = await after([first], { ifFailed: 'wait' })
        await fail(first)
        expect(await store.edit(next._id, { ifFailed: 'run' })).toMatchObject({ status: 'pending', ifFailed: 'run' })
        const free = await make.pending()
        await expect(store.edit(free._id, { ifFailed: 'run' })).rejects.toMatchObject({ code: 'BAD_VALUE' })
      })

      test('a paused one stays paused, and waits when it is resumed', async () => {
        const paused = await make.paused()
        const first = await make.claimed()
        expect(await store.edit(paused._id, { after: [first.task._id] })).toMatchObject({ status: 'paused' })
        expect(await store.resume(paused._id)).toMatchObject({ status: 'blocked' })
        await end(first)
        expect(await status(paused)).toBe('pending')
      })

      test('it is edited at its known revision, and only while it waits', async () => {
        const first = await make.claimed()
        const next = await after([first])
        expect(await store.edit(next._id, { after: [] }, next.rev - 1)).toBeNull()
        expect(await store.edit(first.task._id, { after: [next._id] })).toBeNull()
        expect(await now(next)).toEqual(next)
      })

      test('none stays blocked by a predecessor that ends during the edit', async () => {
        for (let round = 0; round < 10; round += 1) {
          const first = await make.claimed()
          const next = await make.pending()
          await Promise.all([store.edit(next._id, { after: [first.task._id] }), end(first)])
          expect(await status(next)).toBe('pending')
        }
      })
    })
  })
}
