import type { TaskDocument } from '@taskfleet/core'
import { type Claim, isFenced, Outcome, type TaskStore, TRANSITIONS, type Verb } from '@taskfleet/core/internal'
import { hasEnded, STATUSES, type TaskStatus } from '@taskfleet/protocol'
import { Types } from 'mongoose'
import { beforeAll, describe, expect, test } from 'vitest'
import { describeAffinity } from './describe-affinity.ts'
import { describeDependencies, endPredecessor } from './describe-dependencies.ts'
import { newTask, taskFactory, testClaimant, testError } from './task-factory.ts'

/** What the suite needs besides the port: to make a worker die, and to read a stored task. */
export interface TaskStoreHarness {
  store: TaskStore
  /** Ends the session of a running task, and no other task's. */
  loseWorker(id: Types.ObjectId): Promise<void>
  /** False on a server that keeps a unique value taken after an update has removed it, as one stand-in does. */
  freesUniqueValues(): Promise<boolean>
  /** Changes a task's document in a way that no verb would. */
  corrupt(id: Types.ObjectId): Promise<void>
  /** Lets time pass for a task: all its dates lie `ms` further back. */
  moveClock(id: Types.ObjectId, ms: number): Promise<void>
}

/** How many losses a task may have. */
const LOSSES = 3

/** The conformance suite of `TaskStore`. Every implementation of the port runs it. */
export function describeTaskStore(name: string, open: () => Promise<TaskStoreHarness>): void {
  describe(`${name} is a TaskStore`, () => {
    let store: TaskStore
    let harness: TaskStoreHarness
    let make: ReturnType<typeof taskFactory>
    beforeAll(async () => {
      harness = await open()
      store = harness.store
      make = taskFactory(store)
    })

    const now = async (task: { _id: Types.ObjectId }): Promise<TaskDocument> => (await store.find(task._id))!

    /** How each verb is called on a task in any status. */
    const attempts: Record<Verb, (task: TaskDocument, leaseId: string) => Promise<unknown>> = {
      claim: (task) => store.claim([task._id], testClaimant),
      complete: (task, leaseId) => store.settle({ task, leaseId }, Outcome.completed(1)),
      retry: (task, leaseId) => store.settle({ task, leaseId }, Outcome.retry(testError, 0)),
      fail: (task, leaseId) => store.settle({ task, leaseId }, Outcome.failed(testError)),
      defer: (task, leaseId) => store.settle({ task, leaseId }, Outcome.deferred(testError, 0)),
      snooze: (task, leaseId) => store.settle({ task, leaseId }, Outcome.snoozed(0)),
      release: (task, leaseId) => store.settle({ task, leaseId }, Outcome.released()),
      suspend: async (task, leaseId) => {
        if (task.lease?.id === leaseId) await store.pause(task._id, 'test')
        return store.settle({ task, leaseId }, Outcome.suspended())
      },
      stop: (task, leaseId) => store.settle({ task, leaseId }, Outcome.stopped()),
      reclaim: async (task) => {
        if (task.status === 'running') await harness.loseWorker(task._id)
        await store.reap()
      },
      expire: async (task) => {
        for (let loss = 1; loss <= LOSSES && task.status === 'running'; loss += 1) {
          if (loss > 1) await harness.moveClock(task._id, 60_000)
          if (loss > 1) await store.claim([task._id], testClaimant)
          await harness.loseWorker(task._id)
          await store.reap()
        }
        await store.reap()
      },
      quarantine: async (task) => {
        if (!hasEnded(task.status)) await harness.corrupt(task._id)
        await store.endMisfits([task._id])
      },
      pause: (task) => store.pause(task._id, 'test'),
      resume: (task) => store.resume(task._id),
      cancel: (task) => store.cancel(task._id, 'test'),
      unblock: (task) => endPredecessor(store, task, Outcome.completed(1)),
      abandon: (task) => endPredecessor(store, task, Outcome.failed(testError)),
      skip: (task) => endPredecessor(store, task, Outcome.failed(testError)),
      block: async (task) => {
        // On a blocked task it would change the predecessors.
        if (task.status === 'blocked') return
        await store.edit(task._id, { after: [(await make.pending())._id] })
        if (task.status === 'paused') await store.resume(task._id)
      },
      rerun: (task) => store.rerun(task._id),
      rewait: async (task) => {
        if (task.after !== undefined) await store.rerun(task._id)
      },
    }
    /** What a verb needs besides the status. */
    const prepared: Partial<Record<Verb, Parameters<typeof newTask>[0]>> = {
      skip: { ifFailed: 'cancel' },
    }
    /** Ended tasks that still wait for another one. */
    const waiting: Partial<Record<TaskStatus, () => Promise<TaskDocument>>> = {
      failed: async () => (await make.pending({ after: (await make.cancelled())._id }))!,
      cancelled: async () => (await store.cancel((await make.blocked())._id, 'test'))!,
    }
    /** A pause or cancel of a running task stores the request and leaves the status to its worker. */
    const asksRunning: readonly Verb[] = ['pause', 'cancel']

    describe.each(Object.keys(TRANSITIONS) as Verb[])('%s', (verb) => {
      test.each(STATUSES)('from %s', async (status) => {
        const before = await ((verb === 'rewait' && waiting[status]?.()) || make[status](prepared[verb] ?? {}))
        await attempts[verb](before, before.lease?.id ?? 'nobody')
        const after = await now(before)
        const { from, to } = TRANSITIONS[verb]
        const allowed = (from as readonly TaskStatus[]).includes(status)
        expect(after.status).toBe(allowed ? to : status === 'running' && verb === 'expire' ? 'failed' : status)
        if (!allowed && !(status === 'running' && asksRunning.includes(verb))) expect(after).toEqual(before)
        if (allowed) expect(after.rev).toBeGreaterThan(before.rev)
        checkInvariants(after)
      })
    })

    test.each((Object.keys(TRANSITIONS) as Verb[]).filter(isFenced).filter((verb) => !/^(reclaim|expire)$/.test(verb)))(
      '%s with another lease changes nothing and says so',
      async (verb) => {
        const before = await make.running()
        const settled = await attempts[verb](before, 'another-worker')
        expect(settled).toEqual({ owned: false })
        expect(await now(before)).toEqual(before)
      },
    )

    test('the last report of an attempt is stored with its end', async () => {
      const claim = await make.claimed()
      const progress = { done: 3, total: 4, ratio: 0.75, at: new Date(5) }
      await store.settle(claim, Outcome.retry(testError, 0), progress)
      expect(await now(claim.task)).toMatchObject({ status: 'pending', progress })
    })

    test('a title and labels are stored with the task, changed and removed', async () => {
      const given = { title: 'Invoice 17', labels: { customer: 'cus_1003' } }
      const task = await make.pending(given)
      expect(task).toMatchObject(given)
      expect(await store.edit(task._id, { title: 'Invoice 18', labels: null })).toMatchObject({ title: 'Invoice 18' })
      expect(await now(task)).not.toHaveProperty('labels')
    })

    test('an attempt names its task only if the task has no name yet, by a report or with its end, alone or in a group', async () => {
      const named = await make.claimed({ title: 'By its request' })
      const [reported, alone, one, other] = [
        await make.claimed(),
        await make.claimed(),
        await make.claimed({ labels: { own: 'yes' } }),
        await make.claimed(),
      ]
      const naming = { title: 'By its handler', labels: { host: 'example' } }
      await store.report([named, reported].map(({ task, leaseId }) => ({ id: task._id, leaseId, naming })))
      expect(await now(named.task)).toMatchObject({ title: 'By its request', labels: naming.labels })
      expect(await now(reported.task)).toMatchObject(naming)
      await store.settle({ ...alone, naming }, Outcome.retry(testError, 0))
      expect(await now(alone.task)).toMatchObject({ ...naming, status: 'pending' })
      await Promise.all([
        store.settle({ ...one, naming }, Outcome.completed(1)),
        store.settle(other, Outcome.completed(2)),
      ])
      expect(await now(one.task)).toMatchObject({ title: naming.title, labels: { own: 'yes' }, status: 'completed' })
      expect(await now(other.task)).not.toHaveProperty('title')
      await store.report([{ id: named.task._id, leaseId: 'stale', naming: { title: 'Stale' } }])
      expect((await now(named.task)).title).toBe('By its request')
    })

    test('a report that can not be written does not affect the others', async () => {
      const [one, circular, huge, other] = [
        await make.claimed(),
        await make.claimed(),
        await make.claimed(),
        await make.claimed(),
      ]
      const at = new Date(5)
      const circle: Record<string, unknown> = { at }
      circle.me = circle
      const report = ({ task, leaseId }: Claim, progress: object) => ({
        id: task._id,
        leaseId,
        progress: progress as never,
      })
      await store.report([
        report(one, { done: 1, at }),
        report(circular, circle),
        report(huge, { message: 'x'.repeat(17 * 2 ** 20), at }),
        report(other, { done: 2, at }),
      ])
      const stored = await Promise.all([one, circular, huge, other].map(({ task }) => now(task)))
      expect(stored.map(({ progress }) => progress?.done)).toEqual([1, undefined, undefined, 2])
    })

    test('an end that can not be stored is refused, and the attempt can still be ended', async () => {
      const claim = await make.claimed()
      const circle: Record<string, unknown> = {}
      circle.me = circle
      const ends = [Outcome.completed(circle), Outcome.completed('x'.repeat(17 * 2 ** 20)), Outcome.snoozed(Number.NaN)]
      for (const end of ends) await expect(store.settle(claim, end)).rejects.toMatchObject({ code: 'END_REFUSED' })
      expect(await store.settle(claim, Outcome.failed(testError))).toEqual({ owned: true, status: 'failed' })
    })

    test('enqueue fills in the defaults by the server and starts at revision 1', async () => {
      const [task] = await store.enqueue([newTask({ input: { a: 1 } })])
      expect(task).toMatchObject({
        status: 'pending',
        attempt: 0,
        failures: 0,
        rev: 1,
        priority: 5,
        queue: 'default',
        lazy: false,
      })
      expect(task!.order).toEqual(task!.runAt)
      expect(task!.runAt).toEqual(task!.createdAt)
    })

    test('enqueue twice with the same id is one task; with other content it is refused', async () => {
      const task = newTask({ input: { a: 1 } })
      const [first] = await store.enqueue([task])
      expect(await store.enqueue([task])).toEqual([first])
      await expect(store.enqueue([{ ...task, input: { a: 2 } }])).rejects.toMatchObject({ code: 'TASK_EXISTS' })
    })

    test('a key is unique until its task has ended', async (context) => {
      context.skip(!(await harness.freesUniqueValues()), 'this server never frees a unique value that was updated away')
      const key = `key-${new Types.ObjectId().toHexString()}`
      const claim = await make.claimed({ key })
      await expect(store.enqueue([newTask({ key })])).rejects.toMatchObject({ code: 'KEY_EXISTS' })
      await store.settle(claim, Outcome.completed(null))
      expect(await store.enqueue([newTask({ key })])).toHaveLength(1)
    })

    test.each([['$secret'], ['$$ROOT'], ['$lease.id'], [{ nested: ['$name', { deep: '$$NOW' }] }]])(
      'a text that looks like an expression is stored byte for byte: %j',
      async (text) => {
        const claim = await make.claimed({ input: { text } })
        expect(claim.task.input).toEqual({ text })
        await store.saveCheckpoint(claim.task._id, claim.leaseId, { text })
        await store.settle(claim, Outcome.retry({ ...testError, message: JSON.stringify(text), code: '$status' }, 0))
        const after = await now(claim.task)
        expect(after).toMatchObject({ checkpoint: { text }, error: { message: JSON.stringify(text), code: '$status' } })
        const [again] = await store.claim([after._id], testClaimant)
        await store.settle(again!, Outcome.completed({ text }))
        expect((await now(after)).output).toEqual({ text })
      },
    )

    test('a claim takes a lease, an entry of attempts, the host and the address of the task', async () => {
      const { task, leaseId } = await make.claimed()
      expect(task).toMatchObject({
        status: 'running',
        attempt: 1,
        worker: 'worker-1',
        host: 'host-1',
        publicUrl: `http://127.0.0.2:4101/tasks/${task._id.toHexString()}`,
        lease: { id: leaseId, session: 'worker-1' },
        attempts: [{ n: 1, worker: 'worker-1', host: 'host-1', lease: leaseId }],
      })
    })

    test('a task and its attempts keep their host after the end', async () => {
      const first = await make.claimed()
      await store.settle(first, Outcome.retry(testError, 0))
      const [claim] = await store.claim([first.task._id], { ...testClaimant, worker: 'worker-2', host: 'host-2' })
      await store.settle(claim!, Outcome.completed(1))
      const ended = await now(first.task)
      expect(ended).toMatchObject({ status: 'completed', host: 'host-2' })
      expect(ended.attempts.map(({ host }) => host)).toEqual(['host-1', 'host-2'])
      expect(ended).not.toHaveProperty('worker')
    })

    test('a task is claimed once, by any number of simultaneous claims', async () => {
      const tasks = await Promise.all(Array.from({ length: 20 }, () => make.pending()))
      const ids = tasks.map(({ _id }) => _id)
      const claims = (await Promise.all([1, 2, 3].map(() => store.claim(ids, testClaimant)))).flat()
      expect(claims.map(({ task }) => task._id.toHexString()).sort()).toEqual(ids.map(String).sort())
    })

    test('a task that is not due by the server’s time is not claimed, alone or in a group', async () => {
      const later = new Date(Date.now() + 3_600_000)
      const [one, two] = await Promise.all([make.pending({ runAt: later }), make.pending({ runAt: later })])
      const gone = await make.running()
      const early: string[] = []
      const onEarly = (id: Types.ObjectId): number => early.push(id.toHexString())
      expect(await store.claim([one._id], testClaimant, onEarly)).toEqual([])
      expect(await store.claim([gone._id], testClaimant, onEarly)).toEqual([])
      expect(early).toEqual([one._id.toHexString()])
      expect(await store.claim([two._id, gone._id, one._id], testClaimant, onEarly)).toEqual([])
      // Another worker's task does not count as too early.
      expect(early.slice(1).sort()).toEqual([one, two].map(({ _id }) => _id.toHexString()).sort())
      expect(await now(one)).toEqual(one)
    })

    test('a claim that comes too late takes nothing, alone or in a group', async () => {
      const ids = await Promise.all([make.pending(), make.pending()]).then((tasks) => tasks.map(({ _id }) => _id))
      const late = { ...testClaimant, notAfter: new Date(Date.now() - 60_000) }
      expect(await store.claim(ids.slice(0, 1), late)).toEqual([])
      expect(await store.claim(ids, late)).toEqual([])
      const inTime = { ...testClaimant, notAfter: new Date(Date.now() + 60_000) }
      expect(await store.claim(ids, inTime)).toHaveLength(2)
    })

    test('progress and checkpoints of another attempt are ignored', async () => {
      const { task, leaseId } = await make.claimed()
      const progress = { ratio: 0.5, at: new Date() }
      await store.report([{ id: task._id, leaseId: 'other', progress: { ratio: 1, at: new Date() } }])
      expect(await store.saveCheckpoint(task._id, 'other', 1)).toBe(false)
      expect((await now(task)).progress).toBeUndefined()
      await store.report([{ id: task._id, leaseId, progress }])
      expect(await store.saveCheckpoint(task._id, leaseId, { at: 7 })).toBe(true)
      expect(await now(task)).toMatchObject({ progress, checkpoint: { at: 7 } })
    })

    test('a failure waits its back-off by the server, loses priority, and is kept in the attempt', async () => {
      const claim = await make.claimed({ priority: 8 })
      expect(await store.settle(claim, Outcome.retry(testError, 60_000))).toEqual({ owned: true, status: 'pending' })
      const after = await now(claim.task)
      expect(after).toMatchObject({ failures: 1, priority: 7, basePriority: 8, error: testError, attempt: 1 })
      expect(after.attempts[0]).toMatchObject({ outcome: 'failed', error: testError })
      expect(after.runAt.getTime() - after.updatedAt.getTime()).toBeGreaterThan(59_000)
    })

    test('a repeated end is recognised, even if the next attempt has begun', async () => {
      const claim = await make.claimed()
      await store.settle(claim, Outcome.retry(testError, 0))
      await store.claim([claim.task._id], testClaimant)
      expect(await now(claim.task)).toMatchObject({ status: 'running', attempt: 2 })
      expect(await store.settle(claim, Outcome.retry(testError, 0))).toEqual({ owned: true, status: 'pending' })
      expect(await now(claim.task)).toMatchObject({ status: 'running', attempt: 2, failures: 1 })
    })

    test('a task released with a delay waits that long by the server, at no cost', async () => {
      const claim = await make.claimed({ priority: 8 })
      expect(await store.settle(claim, Outcome.released(60_000))).toEqual({ owned: true, status: 'pending' })
      const after = await now(claim.task)
      expect(after).toMatchObject({ failures: 0, lost: 0, priority: 8, attempts: [{ outcome: 'released' }] })
      expect(after.runAt.getTime() - after.updatedAt.getTime()).toBeGreaterThan(59_000)
    })

    test('a failure that requests a later retry costs nothing, and its error is kept', async () => {
      const claim = await make.claimed({ priority: 8, maxAttempts: 1 })
      expect(await store.settle(claim, Outcome.deferred(testError, 60_000))).toEqual({ owned: true, status: 'pending' })
      const after = await now(claim.task)
      expect(after).toMatchObject({ failures: 0, priority: 8, error: testError, attempt: 1 })
      expect(after.attempts[0]).toMatchObject({ outcome: 'deferred', error: testError })
      expect(after.runAt.getTime() - after.updatedAt.getTime()).toBeGreaterThan(59_000)
    })

    test("a failure after a changed checkpoint costs nothing with counts: 'without-progress'", async () => {
      const task = await make.pending({ priority: 8, maxAttempts: 2 })
      const attempt = async (states: unknown[], counts: 'every' | 'without-progress'): Promise<TaskDocument> => {
        const [claim] = await store.claim([task._id], testClaimant)
        for (const state of states) await store.saveCheckpoint(task._id, claim!.leaseId, state)
        await store.settle(claim!, Outcome.retry(testError, 0, { counts }))
        return now(task)
      }
      expect(await attempt([], 'without-progress')).toMatchObject({ failures: 1, priority: 7 })
      // The same state again is no progress; another one is, whatever follows.
      const moved = await attempt([{ at: 1 }, { at: 2 }, { at: 2 }], 'without-progress')
      expect(moved).toMatchObject({ status: 'pending', failures: 0, priority: 8, checkpointAttempt: 2 })
      expect(moved.attempts.at(-1)).toMatchObject({ outcome: 'failed', error: testError })
      expect(await attempt([{ at: 2 }], 'without-progress')).toMatchObject({ failures: 1, checkpointAttempt: 2 })
      expect(await attempt([{ at: 3 }], 'every')).toMatchObject({ status: 'failed', failures: 2 })
      checkInvariants(await now(task))
    })

    test('a checkpoint that was saved before the worker died is progress of that attempt, and of no later one', async () => {
      const { task, leaseId } = await make.claimed({ maxAttempts: 3 })
      await store.saveCheckpoint(task._id, leaseId, { at: 1 })
      await harness.loseWorker(task._id)
      await store.reap()
      expect(await now(task)).toMatchObject({ attempt: 1, checkpointAttempt: 1 })
      const before = (await now(task)).failures
      const [again] = await store.claim([task._id], testClaimant)
      await store.settle(again!, Outcome.retry(testError, 0, { counts: 'without-progress' }))
      expect((await now(task)).failures).toBe(before + 1)
    })

    test('a task’s own limits are stored, edited, removed, and replaced with the request', async () => {
      const asked = {
        retry: { backoff: { base: 5_000, factor: 1 }, counts: 'without-progress' as const },
        ...{ timeout: 1_000, totalTimeout: 2 ** 40, stall: 60_000 },
      }
      const task = await make.pending({ ...asked, key: 'budget' })
      expect(task).toMatchObject(asked)
      const changed = await store.edit(task._id, { retry: { decay: false }, timeout: null, stall: 5 })
      expect(changed).toMatchObject({ retry: { decay: false }, totalTimeout: 2 ** 40, stall: 5 })
      expect(changed).not.toHaveProperty('timeout')
      const [replaced] = await store.enqueue([newTask({ key: 'budget', keyPolicy: 'replace', timeout: 7 })])
      expect(replaced).toMatchObject({ _id: task._id, timeout: 7 })
      for (const field of ['retry', 'totalTimeout', 'stall']) expect(replaced).not.toHaveProperty(field)
    })

    test('a failure is final when no attempt is left', async () => {
      const claim = await make.claimed({ maxAttempts: 1 })
      expect(await store.settle(claim, Outcome.retry(testError, 0))).toEqual({ owned: true, status: 'failed' })
      expect((await now(claim.task)).finishedAt).toBeInstanceOf(Date)
    })

    test('a requested cancel wins over retry, release and reclaim; a result wins over the cancel', async () => {
      const ends: [(claim: Claim) => Promise<unknown>, TaskStatus][] = [
        [(claim) => store.settle(claim, Outcome.retry(testError, 0)), 'cancelled'],
        [(claim) => store.settle(claim, Outcome.failed(testError)), 'cancelled'],
        [(claim) => store.settle(claim, Outcome.released()), 'cancelled'],
        [(claim) => store.settle(claim, Outcome.suspended()), 'cancelled'],
        [(claim) => harness.loseWorker(claim.task._id).then(() => store.reap()), 'cancelled'],
        [(claim) => store.settle(claim, Outcome.completed(1)), 'completed'],
      ]
      for (const [end, status] of ends) {
        const claim = await make.claimed()
        await store.cancel(claim.task._id, 'ann', 'enough')
        expect(await now(claim.task)).toMatchObject({
          status: 'running',
          control: { action: 'cancel', by: 'ann', reason: 'enough' },
        })
        await end(claim)
        const after = await now(claim.task)
        expect(after.status).toBe(status)
        expect(after.control).toBeUndefined()
        checkInvariants(after)
      }
    })

    test('a cancel replaces a pause and not the other way round', async () => {
      const { task } = await make.claimed()
      await store.pause(task._id, 'ann')
      expect((await store.cancel(task._id, 'bob'))!.control).toMatchObject({ action: 'cancel', by: 'bob' })
      expect((await store.pause(task._id, 'ann'))!.control).toMatchObject({ action: 'cancel', by: 'bob' })
    })

    test('a task of a dead worker is taken back once, one of a live worker never', async () => {
      const [dead, live] = await Promise.all([make.claimed(), make.claimed()])
      await harness.loseWorker(dead.task._id)
      const sweeps = await Promise.all([store.reap(), store.reap(), store.reap()])
      expect(sweeps.flat().filter(({ _id }) => _id.equals(dead.task._id))).toHaveLength(1)
      expect(await now(dead.task)).toMatchObject({
        status: 'pending',
        lost: 1,
        failures: 0,
        error: { code: 'WORKER_LOST' },
      })
      expect((await now(live.task)).status).toBe('running')
      expect(await store.settle(dead, Outcome.completed('late'))).toEqual({ owned: false })
    })

    /** Claimed by a worker that dies with it. */
    const lose = async (task: TaskDocument): Promise<Claim> => {
      // A task that was lost before waits for a moment.
      await harness.moveClock(task._id, 60_000)
      const [claim] = await store.claim([task._id], testClaimant)
      await harness.loseWorker(task._id)
      await store.reap()
      return claim!
    }

    test('the third loss in a row fails the task: poison', async () => {
      const task = await make.pending({ maxAttempts: 1 })
      for (let round = 1; round <= 3; round += 1) await lose(task)
      const after = await now(task)
      expect(after).toMatchObject({ status: 'failed', lost: 3, failures: 0, attempt: 3, error: { code: 'POISON' } })
      expect(after.error!.message).toContain('nothing else ran there')
      expect(after.attempts.map(({ outcome }) => outcome)).toEqual(['lost', 'lost', 'lost'])
    })

    test('a task with progress between losses does not fail, and a completed one has no losses', async () => {
      const task = await make.pending()
      for (let round = 1; round <= 4; round += 1) {
        await harness.moveClock(task._id, 60_000)
        const [claim] = await store.claim([task._id], testClaimant)
        await store.saveCheckpoint(task._id, claim!.leaseId, { round })
        expect((await now(task)).lost).toBe(0)
        await harness.loseWorker(task._id)
        await store.reap()
        expect(await now(task)).toMatchObject({ status: 'pending', lost: 1, failures: 0 })
      }
      const [claim] = await store.claim([task._id], testClaimant)
      // The same checkpoint once more is no progress.
      await store.saveCheckpoint(task._id, claim!.leaseId, { round: 4 })
      expect((await now(task)).lost).toBe(1)
      await store.settle(claim!, Outcome.completed(1))
      expect(await now(task)).toMatchObject({ status: 'completed', lost: 0 })
    })

    test('a suspect is claimed only by a claim that accepts suspects', async () => {
      const task = await make.pending()
      await lose(task)
      expect(await store.claim([task._id], { ...testClaimant, maxLost: 0 })).toEqual([])
      const other = await make.pending()
      const both = await store.claim([task._id, other._id], { ...testClaimant, maxLost: 0 })
      expect(both.map((claim) => String(claim.task._id))).toEqual([String(other._id)])
      expect(await store.claim([task._id], testClaimant)).toHaveLength(1)
    })

    test('a loss is taken back once when its worker comes back', async () => {
      const task = await make.pending()
      const claim = await lose(task)
      expect(await store.takeBackLoss(task._id, 'nobodys')).toBe(false)
      expect(await store.takeBackLoss(task._id, claim.leaseId)).toBe(true)
      expect(await store.takeBackLoss(task._id, claim.leaseId)).toBe(false)
      const after = await now(task)
      expect(after).toMatchObject({ status: 'pending', lost: 0, attempts: [{ outcome: 'lost', survived: true }] })
      const next = await make.claimed()
      expect(await store.takeBackLoss(next.task._id, next.leaseId)).toBe(false)
    })

    test('a finishing write whose answer was lost is recognised when it is repeated', async () => {
      const claim = await make.claimed()
      await store.settle(claim, Outcome.completed(1))
      expect(await store.settle(claim, Outcome.completed(1))).toEqual({ owned: true, status: 'completed' })
    })

    test('many attempts that end at the same time keep their own ends', async () => {
      const claims = await Promise.all(Array.from({ length: 9 }, () => make.claimed()))
      const outcomes = claims.map((_, index) =>
        index % 3 === 0 ? Outcome.completed(index) : index % 3 === 1 ? Outcome.retry(testError, 0) : Outcome.released(),
      )
      const stranger = { ...claims[0]!, leaseId: 'stranger' }
      const settled = await Promise.all([
        store.settle(stranger, Outcome.completed('stolen')),
        ...claims.map((claim, index) => store.settle(claim, outcomes[index]!)),
      ])
      expect(settled[0]).toEqual({ owned: false })
      expect(settled.slice(1).map((one) => one.owned && one.status)).toEqual(
        claims.map((_, index) => (index % 3 === 0 ? 'completed' : 'pending')),
      )
      expect((await now(claims[0]!.task)).output).toBe(0)
    })

    describe('attempts of one claim that end at the same time', () => {
      const claimedTogether = async (count: number): Promise<Claim[]> => {
        const tasks = await store.enqueue(Array.from({ length: count }, () => newTask()))
        return store.claim(
          tasks.map(({ _id }) => _id),
          testClaimant,
        )
      }

      test('each get their own output, byte for byte', async () => {
        const outputs = [null, 0, '', '$secret', ['$$ROOT', [1]], { $literal: { a: '$name' } }, 'x'.repeat(10_000)]
        const claims = await claimedTogether(outputs.length)
        const settled = await Promise.all(
          claims.map((claim, index) => store.settle(claim, Outcome.completed(outputs[index]))),
        )
        expect(settled).toEqual(claims.map(() => ({ owned: true, status: 'completed' })))
        const after = await Promise.all(claims.map(({ task }) => now(task)))
        expect(after.map(({ output }) => output)).toEqual(outputs)
        for (const task of after) checkInvariants(task)
      })

      test('one that another worker owns by now gets that answer and is not changed, and the others end', async () => {
        const [first, reaped, last] = (await claimedTogether(3)) as [Claim, Claim, Claim]
        await harness.loseWorker(reaped.task._id)
        await store.reap()
        const [anew] = await store.claim([reaped.task._id], testClaimant)
        const settled = await Promise.all([
          ...[first, reaped, last].map((claim) => store.settle(claim, Outcome.completed('mine'))),
          store.settle({ task: anew!.task, leaseId: 'another-worker' }, Outcome.completed('theirs')),
        ])
        expect(settled.map(({ owned }) => owned)).toEqual([true, false, true, false])
        expect(await now(reaped.task)).toEqual(await now(anew!.task))
        expect(await now(reaped.task)).toMatchObject({ status: 'running', attempt: 2 })
        for (const { task } of [first, last]) expect(await now(task)).toMatchObject({ output: 'mine' })
      })

      test('stale and new claims of the same tasks are not confused', async () => {
        const stale = await claimedTogether(2)
        for (const { task } of stale) await harness.loseWorker(task._id)
        await store.reap()
        const anew = await store.claim(
          stale.map(({ task }) => task._id),
          testClaimant,
        )
        const settled = await Promise.all([
          ...stale.map((claim) => store.settle(claim, Outcome.completed('stale'))),
          ...anew.map((claim) => store.settle(claim, Outcome.completed('new'))),
        ])
        expect(settled.map(({ owned }) => owned)).toEqual([false, false, true, true])
        for (const { task } of anew) expect(await now(task)).toMatchObject({ status: 'completed', output: 'new' })
      })
    })

    test('attempts of several claims end together, and an attempt that lost its task does not end the next one', async () => {
      const { _id } = (await make.claimed()).task
      await harness.loseWorker(_id)
      await store.reap()
      const others = await Promise.all(Array.from({ length: 3 }, () => make.claimed()))
      // The stale attempt has the number of the others' attempts, and the new one shares its lease with one of them.
      const together = await store.enqueue([newTask()])
      const anew = await store.claim([_id, together[0]!._id], testClaimant)
      expect(anew.map(({ task }) => task.attempt)).toEqual([2, 1])
      const stale = { task: { _id, attempt: 1 }, leaseId: 'stale' }
      const settled = await Promise.all(
        [stale, anew[1]!, ...others].map((claim, index) => store.settle(claim, Outcome.completed(index))),
      )
      expect(settled.map(({ owned }) => owned)).toEqual([false, true, true, true, true])
      expect(await now({ _id })).toMatchObject({ status: 'running', attempt: 2, lease: { id: anew[0]!.leaseId } })
      for (const [index, { task }] of others.entries()) expect((await now(task)).output).toBe(index + 2)
    })

    test('waiting tasks come in claim order, without those of other queues', async () => {
      const queue = `q-${new Types.ObjectId().toHexString()}`
      const low = await make.pending({ queue, priority: 2 })
      const first = await make.pending({ queue, priority: 5 })
      const second = await make.pending({ queue, priority: 5 })
      const front = await make.pending({ queue, priority: 5, position: 'front' })
      const high = await make.pending({ queue, priority: 8 })
      const soon = await make.pending({ queue, runAt: new Date(Date.now() + 60_000) })
      const later = await make.pending({ queue, priority: 10, runAt: new Date(Date.now() + 90_000) })
      await make.pending({ queue, runAt: new Date(Date.now() + 3_600_000) })
      await make.pending({ queue, name: 'other' })
      await make.pending({ queue: 'elsewhere' })
      const { due, next } = await store.waiting(
        { queues: [queue], tasks: new Map([['test', { oldest: 1, newest: 1 }]]) },
        10,
      )
      expect(due.map(({ _id }) => String(_id))).toEqual([high, front, first, second, low].map(({ _id }) => String(_id)))
      expect(next.map(({ _id }) => String(_id))).toEqual([soon, later].map(({ _id }) => String(_id)))
    })

    describeDependencies(() => store)
    describeAffinity(() => harness)

    test('the tasks of a session can be read, with the requests to them', async () => {
      const worker = new Types.ObjectId().toHexString()
      const task = await make.pending()
      expect(await store.held(worker)).toEqual([])
      const [claim] = await store.claim([task._id], { ...testClaimant, worker })
      const { leaseId } = claim!
      expect(await store.held(worker)).toEqual([{ _id: task._id, leaseId }])
      await store.cancel(task._id, 'ann')
      expect(await store.held(worker)).toMatchObject([{ _id: task._id, leaseId, control: { action: 'cancel' } }])
    })

    describe('deadlines', () => {
      const soon = (ms: number): Date => new Date(Date.now() + ms)

      test('a task is raised to high some time before its deadline and to 10 when it has passed', async () => {
        const task = await make.pending({ priority: 2, deadline: soon(1_000_000) })
        // Without known durations it is a tenth of the time left.
        expect(Math.round((+task.deadline! - +task.raiseAt!) / 10_000)).toBe(10)
        await harness.moveClock(task._id, 950_000)
        const { raised } = await store.raiseDue()
        expect(raised.find(({ _id }) => _id.equals(task._id))).toMatchObject({ priority: 8 })
        const near = await now(task)
        expect(near.raiseAt).toEqual(near.deadline)
        expect(near.deadlineMissedAt).toBeUndefined()
        await harness.moveClock(task._id, 100_000)
        await store.raiseDue()
        const missed = await now(task)
        expect(missed).toMatchObject({ priority: 10, basePriority: 2 })
        expect(missed.deadlineMissedAt).toBeInstanceOf(Date)
        expect(missed.raiseAt).toBeUndefined()
        expect((await store.raiseDue()).raised.some(({ _id }) => _id.equals(task._id))).toBe(false)
      })

      test('many workers check at once: each step is reported once', async () => {
        const task = await make.pending({ deadline: soon(-1_000) })
        const looks = await Promise.all([store.raiseDue(), store.raiseDue(), store.raiseDue()])
        const told = looks.flatMap(({ raised }) => raised).filter(({ _id }) => _id.equals(task._id))
        expect(told.filter(({ deadlineMissedAt }) => deadlineMissedAt !== undefined)).toHaveLength(1)
      })

      test('the next check is due when the next deadline is near', async () => {
        const task = await make.pending({ deadline: soon(2_000) })
        const { nextRaise } = await store.raiseDue()
        expect(nextRaise).not.toBeNull()
        await store.cancel(task._id, 'test')
        expect((await now(task)).raiseAt).toBeUndefined()
      })

      test('failing costs no priority below high near the deadline, and none once it has passed', async () => {
        const claim = await make.claimed({ priority: 9, deadline: soon(-1_000) })
        await store.raiseDue()
        await store.settle(claim, Outcome.retry(testError, 0))
        expect((await now(claim.task)).priority).toBe(10)
      })
    })

    test('a failed attempt lowers the priority, unless `decay` is off; a rerun restores it', async () => {
      const [decaying, steady] = await Promise.all([make.claimed({ priority: 6 }), make.claimed({ priority: 6 })])
      await store.settle(decaying, Outcome.retry(testError, 0))
      await store.settle(steady, Outcome.retry(testError, 0, { decay: false }))
      expect((await now(decaying.task)).priority).toBe(5)
      expect((await now(steady.task)).priority).toBe(6)
      await store.cancel(decaying.task._id, 'test')
      expect(await store.rerun(decaying.task._id)).toMatchObject({ priority: 6, failures: 0, status: 'pending' })
    })

    test('a waiting task can be changed, with `rev` only at that revision', async () => {
      const task = await make.pending({ priority: 5, input: { a: 1 } })
      const runAt = new Date(Date.now() + 60_000)
      const changed = await store.edit(
        task._id,
        { priority: 8, runAt, queue: 'other', input: { b: 2 }, lazy: true },
        task.rev,
      )
      expect(changed).toMatchObject({ priority: 8, basePriority: 8, queue: 'other', input: { b: 2 }, lazy: true })
      expect(changed).toMatchObject({ runAt, order: runAt, rev: task.rev + 1 })
      expect(await store.edit(task._id, { priority: 1 }, task.rev)).toBeNull()
      expect(await store.edit((await make.running())._id, { priority: 1 })).toBeNull()
      expect(await store.edit((await make.completed())._id, { priority: 1 })).toBeNull()
    })

    test('a text in changes that looks like an expression is stored byte for byte', async () => {
      const task = await make.pending()
      expect(await store.edit(task._id, { input: { text: '$$ROOT' } })).toMatchObject({ input: { text: '$$ROOT' } })
    })

    test('a waiting task can be put in front of the others, and behind them again', async () => {
      const queue = `q-${new Types.ObjectId().toHexString()}`
      const first = await make.pending({ queue })
      const second = await make.pending({ queue })
      const order = async (): Promise<string[]> =>
        (await store.waiting({ queues: [queue], tasks: new Map([['test', { oldest: 1, newest: 1 }]]) }, 10)).due.map(
          (one) => String(one._id),
        )
      await store.edit(second._id, { position: 'front' })
      expect(await order()).toEqual([String(second._id), String(first._id)])
      await store.edit(second._id, { position: 'back' })
      expect(await order()).toEqual([String(first._id), String(second._id)])
    })

    test('a requested pause can be taken back', async () => {
      const claim = await make.claimed()
      await store.pause(claim.task._id, 'ann')
      expect((await store.resume(claim.task._id))?.control).toBeUndefined()
      // Its handler may have stopped already.
      expect(await store.settle(claim, Outcome.suspended())).toEqual({ owned: true, status: 'pending' })
      expect(await store.resume((await make.running())._id)).toBeNull()
    })

    test('an ended task has its date of removal, and a rerun clears it', async () => {
      const failed = await make.failed()
      expect(failed.expireAt! > failed.finishedAt!).toBe(true)
      const cancelled = await make.cancelled()
      expect(cancelled.expireAt! > cancelled.finishedAt!).toBe(true)
      expect((await store.rerun(failed._id))?.expireAt).toBeUndefined()
    })

    test('a task moved to another queue is not claimed for the old one', async () => {
      const task = await make.pending({ queue: 'here' })
      await store.edit(task._id, { queue: 'there' })
      expect(await store.claim([task._id], { ...testClaimant, queues: ['here'] })).toEqual([])
      const others = await Promise.all([make.pending({ queue: 'here' }), make.pending({ queue: 'there' })])
      const claims = await store.claim(
        others.map(({ _id }) => _id),
        { ...testClaimant, queues: ['here'] },
      )
      expect(claims.map(({ task }) => task.queue)).toEqual(['here'])
    })

    test('only versions that can be run are offered', async () => {
      const queue = `q-${new Types.ObjectId().toHexString()}`
      const [, two] = await Promise.all([1, 2, 3].map((version) => make.pending({ queue, version })))
      const { due } = await store.waiting({ queues: [queue], tasks: new Map([['test', { oldest: 2, newest: 2 }]]) }, 10)
      expect(due.map(({ _id }) => String(_id))).toEqual([String(two!._id)])
    })

    test('an invalid task is set aside, alone or among others', async () => {
      const [corrupt, good] = await Promise.all([make.pending(), make.pending()])
      await harness.corrupt(corrupt._id)
      const claims = await store.claim([corrupt._id, good._id], testClaimant)
      expect(claims.map(({ task }) => String(task._id))).toEqual([String(good._id)])
      expect(await now(corrupt)).toMatchObject({ status: 'failed', error: { code: 'CORRUPT' } })
      const running = await make.running()
      await harness.corrupt(running._id)
      await harness.loseWorker(running._id)
      await store.reap()
      expect(await now(running)).toMatchObject({ status: 'failed', error: { code: 'CORRUPT' } })
    })

    describe('keys', () => {
      const ownKey = (): string => `key-${new Types.ObjectId().toHexString()}`

      test("'return' returns the existing one", async () => {
        const key = ownKey()
        const first = await make.pending({ key })
        const [again] = await store.enqueue([newTask({ key, keyPolicy: 'return', input: { other: true } })])
        expect(again).toEqual(first)
      })

      test("'replace' replaces a waiting task, and does not change a running one", async () => {
        const key = ownKey()
        const first = await make.pending({ key, input: { a: 1 } })
        const [again] = await store.enqueue([newTask({ key, keyPolicy: 'replace', input: { a: 2 }, priority: 9 })])
        expect(again).toMatchObject({ _id: first._id, input: { a: 2 }, priority: 9, rev: first.rev + 1 })
        await store.claim([first._id], testClaimant)
        await expect(store.enqueue([newTask({ key, keyPolicy: 'replace' })])).rejects.toMatchObject({
          code: 'KEY_EXISTS',
        })
      })

      test('of two tasks with one key in one call, one is stored', async () => {
        const key = ownKey()
        const two = await store.enqueue([newTask({ key, keyPolicy: 'return' }), newTask({ key, keyPolicy: 'return' })])
        expect(two[0]!._id).toEqual(two[1]!._id)
      })

      test('a debounced request moves the start and keeps the latest input', async () => {
        const key = ownKey()
        const [first] = await store.enqueue([newTask({ key, debounceMs: 60_000, input: { n: 1 } })])
        expect(+first!.runAt - +first!.createdAt).toBe(60_000)
        const [second] = await store.enqueue([newTask({ key, debounceMs: 90_000, input: { n: 2 } })])
        expect(second).toMatchObject({ _id: first!._id, input: { n: 2 } })
        expect(+second!.runAt > +first!.runAt).toBe(true)
      })

      test('a running debounced task frees its key for the next one', async (context) => {
        context.skip(
          !(await harness.freesUniqueValues()),
          'this server never frees a unique value that was updated away',
        )
        const key = ownKey()
        const [first] = await store.enqueue([newTask({ key, debounceMs: 1 })])
        await harness.moveClock(first!._id, 60_000)
        const [claim] = await store.claim([first!._id], testClaimant)
        expect(claim!.task.key).toBeUndefined()
        const [second] = await store.enqueue([newTask({ key, debounceMs: 60_000 })])
        expect(second!._id).not.toEqual(first!._id)
      })

      test('a throttled key accepts one request in its time, the first one', async () => {
        const key = ownKey()
        const asked = await Promise.all([1, 2, 3].map(() => store.enqueue([newTask({ key, throttleMs: 60_000 })])))
        expect(new Set(asked.map(([task]) => String(task!._id))).size).toBe(1)
        const [later] = await store.enqueue([newTask({ key, throttleMs: 60_000 })])
        expect(String(later!._id)).toBe(String(asked[0]![0]!._id))
      })
    })

    // Certainly due: our estimate of the server's time may be a moment behind.
    const past = new Date(Date.now() - 60_000)

    test('a page full of tasks that cannot run hides no others, and neither does one of lazy tasks', async () => {
      const queue = `q-${new Types.ObjectId().toHexString()}`
      await Promise.all(
        Array.from({ length: 12 }, () => make.pending({ queue, runAt: past, name: 'other', priority: 9 })),
      )
      await Promise.all(Array.from({ length: 12 }, () => make.pending({ queue, runAt: past, lazy: true, priority: 8 })))
      const mine = await make.pending({ queue, runAt: past, priority: 1 })
      const tasks = new Map([['test', { oldest: 1, newest: 1 }]])
      const eager = await store.waiting({ queues: [queue, 'none'], tasks, lazy: false }, 10)
      expect(eager.due.map(({ _id }) => String(_id))).toEqual([String(mine._id)])
      const all = await store.waiting({ queues: [queue], tasks }, 10)
      expect(all.due).toHaveLength(10)
      expect(all.due.every(({ lazy }) => lazy)).toBe(true)
    })

    test('of too many tasks, the first in claim order and the first by date are returned', async () => {
      const queue = `q-${new Types.ObjectId().toHexString()}`
      const priorities = [1, 5, 9, 5, 1, 9, 5, 1]
      const made = await Promise.all(priorities.map((priority) => make.pending({ queue, runAt: past, priority })))
      const dates = [50_000, 10_000, 70_000, 30_000].map((ms) => new Date(Date.now() + ms))
      await Promise.all(dates.map((runAt) => make.pending({ queue, runAt })))
      const { due, next } = await store.waiting(
        { queues: [queue], tasks: new Map([['test', { oldest: 1, newest: 1 }]]) },
        3,
      )
      expect(due.map(({ priority }) => priority)).toEqual([9, 9, 5])
      expect(next.map(({ runAt }) => runAt)).toEqual([dates[1], dates[3], dates[0]])
      expect(made).toHaveLength(8)
    })

    test('only an ended task can be removed', async () => {
      const [running, failed] = await Promise.all([make.running(), make.failed()])
      expect(await store.remove(running._id)).toBe(false)
      expect(await store.remove(failed._id)).toBe(true)
      expect(await store.find(failed._id)).toBeNull()
    })
  })
}

/** The invariants of every task at every moment (I1, I2, I8, I9). */
export function checkInvariants(task: TaskDocument): void {
  expect(task.lease !== undefined, 'a lease if and only if it runs').toBe(task.status === 'running')
  // An invalid list was removed.
  if (task.error?.code !== 'CORRUPT' || task.attempts.length > 0) {
    expect(
      task.attempts.map(({ n }) => n),
      'attempts are numbered without gaps',
    ).toEqual(Array.from({ length: task.attempt }, (_, index) => index + 1))
  }
  expect(task.finishedAt !== undefined, 'an end date if and only if it has ended').toBe(hasEnded(task.status))
  if (hasEnded(task.status)) expect(task.publicUrl).toBeUndefined()
  expect(task.failures).toBeLessThanOrEqual(task.maxAttempts)
  expect(task.lost).toBeLessThanOrEqual(3)
  task.attempts.forEach((attempt, index) => {
    const open = task.status === 'running' && index === task.attempts.length - 1
    expect(attempt.endedAt === undefined, 'only the running attempt is open').toBe(open)
    if (attempt.endedAt !== undefined) expect(attempt.endedAt >= attempt.claimedAt).toBe(true)
    const previous = task.attempts[index - 1]
    if (previous?.endedAt !== undefined) expect(attempt.claimedAt >= previous.endedAt).toBe(true)
  })
  const completed = task.attempts.filter(({ outcome }) => outcome === 'completed')
  expect(completed.length).toBe(task.status === 'completed' ? 1 : 0)
}
