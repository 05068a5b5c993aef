import { Types } from 'mongoose'
import { beforeAll, describe, expect, test } from 'vitest'
import { hasEnded, STATUSES, type TaskStatus } from '../protocol.ts'
import { isFenced, TRANSITIONS, type Verb } from '../task/lifecycle.ts'
import type { TaskDocument } from '../task/task-document.ts'
import { type Claim, Outcome, type TaskStore } from '../task/task-store.ts'
import { newTask, taskFactory, testClaimant, testError } from './task-factory.ts'

/** What the suite needs beyond the port: to make a lease run out, and a task as it is stored. */
export interface TaskStoreHarness {
  store: TaskStore
  /** Sets the lease of a running task to have expired by the server's clock. */
  expireLease(id: Types.ObjectId): Promise<void>
  /** False on a server that keeps a unique value taken after an update gave it up, as one stand-in does. */
  freesUniqueValues(): Promise<boolean>
}

/** The conformance suite of `TaskStore`: everything that implements the port runs it. */
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

    /** How each verb is asked for on a task in whatever status. */
    const attempts: Record<Verb, (task: TaskDocument, leaseId: string) => Promise<unknown>> = {
      claim: (task) => store.claim([task._id], testClaimant),
      complete: (task, leaseId) => store.settle({ task, leaseId }, Outcome.completed(1)),
      retry: (task, leaseId) => store.settle({ task, leaseId }, Outcome.retry(testError, 0)),
      fail: (task, leaseId) => store.settle({ task, leaseId }, Outcome.failed(testError)),
      snooze: (task, leaseId) => store.settle({ task, leaseId }, Outcome.snoozed(0)),
      release: (task, leaseId) => store.settle({ task, leaseId }, Outcome.released()),
      suspend: (task, leaseId) => store.settle({ task, leaseId }, Outcome.suspended()),
      stop: (task, leaseId) => store.settle({ task, leaseId }, Outcome.stopped()),
      reclaim: async (task) => {
        if (task.status === 'running') await harness.expireLease(task._id)
        await store.reap()
      },
      expire: async (task) => {
        if (task.status === 'running') await harness.expireLease(task._id)
        await store.reap()
      },
      pause: (task) => store.pause(task._id, 'test'),
      resume: (task) => store.resume(task._id),
      cancel: (task) => store.cancel(task._id, 'test'),
      unblock: (task) => store.unblock(task.after ?? new Types.ObjectId()),
      rerun: (task) => store.rerun(task._id),
    }
    /** What a verb needs of a task beyond its status. */
    const prepared: Partial<Record<Verb, Parameters<typeof newTask>[0]>> = { expire: { maxAttempts: 1 } }
    /** Asking a running task to pause or to cancel stores the request and leaves the status to its worker. */
    const asksRunning: readonly Verb[] = ['pause', 'cancel']

    describe.each(Object.keys(TRANSITIONS) as Verb[])('%s', (verb) => {
      test.each(STATUSES)('from %s', async (status) => {
        const before = await make[status](prepared[verb] ?? {})
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
        const settled = await attempts[verb](before, 'somebody-else')
        expect(settled).toEqual({ owned: false })
        expect(await now(before)).toEqual(before)
      },
    )

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

    test('a key keeps others out until its task has ended', async (context) => {
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

    test('a claim takes a lease, an entry of attempts and the address of the task', async () => {
      const { task, leaseId } = await make.claimed()
      expect(task).toMatchObject({
        status: 'running',
        attempt: 1,
        worker: 'worker-1',
        publicUrl: `http://127.0.0.2:4101/tasks/${task._id.toHexString()}`,
        lease: { id: leaseId, worker: 'worker-1' },
        attempts: [{ n: 1, worker: 'worker-1', lease: leaseId }],
      })
      expect(task.lease!.expiresAt.getTime()).toBeGreaterThan(task.claimedAt!.getTime())
    })

    test('a task is claimed once, however many ask at the same time', async () => {
      const tasks = await Promise.all(Array.from({ length: 20 }, () => make.pending()))
      const ids = tasks.map(({ _id }) => _id)
      const claims = (await Promise.all([1, 2, 3].map(() => store.claim(ids, testClaimant)))).flat()
      expect(claims.map(({ task }) => task._id.toHexString()).sort()).toEqual(ids.map(String).sort())
    })

    test('what is not due by the server is not claimed, alone or in a group', async () => {
      const later = new Date(Date.now() + 3_600_000)
      const [one, two] = await Promise.all([make.pending({ runAt: later }), make.pending({ runAt: later })])
      expect(await store.claim([one._id], testClaimant)).toEqual([])
      expect(await store.claim([one._id, two._id], testClaimant)).toEqual([])
      expect(await now(one)).toEqual(one)
    })

    test('renewing tells which leases are lost, and extends the others without a revision', async () => {
      const claim = await make.claimed()
      const before = await now(claim.task)
      expect(await store.renew([claim.leaseId, 'gone'], 60_000)).toEqual(['gone'])
      const after = await now(claim.task)
      expect(after.lease!.expiresAt.getTime()).toBeGreaterThan(before.lease!.expiresAt.getTime() + 30_000)
      expect(after.rev).toBe(before.rev)
    })

    test('progress and checkpoints of somebody else are passed over', async () => {
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

    test('a failure is the last one when no try is left', async () => {
      const claim = await make.claimed({ maxAttempts: 1 })
      expect(await store.settle(claim, Outcome.retry(testError, 0))).toEqual({ owned: true, status: 'failed' })
      expect((await now(claim.task)).finishedAt).toBeInstanceOf(Date)
    })

    test('a cancel that was asked for wins over retry, release and reclaim, a result over the cancel', async () => {
      const ends: [(claim: Claim) => Promise<unknown>, TaskStatus][] = [
        [(claim) => store.settle(claim, Outcome.retry(testError, 0)), 'cancelled'],
        [(claim) => store.settle(claim, Outcome.failed(testError)), 'cancelled'],
        [(claim) => store.settle(claim, Outcome.released()), 'cancelled'],
        [(claim) => store.settle(claim, Outcome.suspended()), 'cancelled'],
        [(claim) => harness.expireLease(claim.task._id).then(() => store.reap()), 'cancelled'],
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

    test('a pause gives way to a cancel and not the other way round', async () => {
      const { task } = await make.claimed()
      await store.pause(task._id, 'ann')
      expect((await store.cancel(task._id, 'bob'))!.control).toMatchObject({ action: 'cancel', by: 'bob' })
      expect((await store.pause(task._id, 'ann'))!.control).toMatchObject({ action: 'cancel', by: 'bob' })
    })

    test('an expired lease is taken back once; a live one never', async () => {
      const [dead, live] = await Promise.all([make.claimed(), make.claimed()])
      await harness.expireLease(dead.task._id)
      const sweeps = await Promise.all([store.reap(), store.reap(), store.reap()])
      expect(sweeps.flatMap(({ reaped }) => reaped).filter(({ _id }) => _id.equals(dead.task._id))).toHaveLength(1)
      expect(await now(dead.task)).toMatchObject({
        status: 'pending',
        lost: 1,
        failures: 1,
        error: { code: 'WORKER_LOST' },
      })
      expect((await now(live.task)).status).toBe('running')
      expect(await store.settle(dead, Outcome.completed('late'))).toEqual({ owned: false })
    })

    test('the third loss is the end: poison', async () => {
      const task = await make.pending({ maxAttempts: 50 })
      for (let round = 1; round <= 3; round += 1) {
        await store.claim([task._id], testClaimant)
        await harness.expireLease(task._id)
        await store.reap()
      }
      const after = await now(task)
      expect(after).toMatchObject({ status: 'failed', lost: 3, attempt: 3, error: { code: 'POISON' } })
      expect(after.attempts.map(({ outcome }) => outcome)).toEqual(['lost', 'lost', 'lost'])
    })

    test('a finishing write whose answer was lost is recognised when it is repeated', async () => {
      const claim = await make.claimed()
      await store.settle(claim, Outcome.completed(1))
      expect(await store.settle(claim, Outcome.completed(1))).toEqual({ owned: true, status: 'completed' })
    })

    test('many attempts that end at the same time end each in its own way', async () => {
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

    test('waiting tasks come in claim order, and those of others do not', async () => {
      const queue = `q-${new Types.ObjectId().toHexString()}`
      const low = await make.pending({ queue, priority: 2 })
      const first = await make.pending({ queue, priority: 5 })
      const second = await make.pending({ queue, priority: 5 })
      const front = await make.pending({ queue, priority: 5, position: 'front' })
      const high = await make.pending({ queue, priority: 8 })
      const soon = await make.pending({ queue, runAt: new Date(Date.now() + 60_000) })
      const later = await make.pending({ queue, priority: 10, runAt: new Date(Date.now() + 120_000) })
      await make.pending({ queue, name: 'other' })
      await make.pending({ queue: 'elsewhere' })
      const { due, next } = await store.waiting({ queues: [queue], tasks: new Map([['test', 1]]) }, 10)
      expect(due.map(({ _id }) => String(_id))).toEqual([high, front, first, second, low].map(({ _id }) => String(_id)))
      expect(next.map(({ _id }) => String(_id))).toEqual([soon, later].map(({ _id }) => String(_id)))
    })

    test('what waits for another task goes when that one completes', async () => {
      const claim = await make.claimed()
      const [next] = await store.enqueue([newTask({ after: claim.task._id })])
      expect(next!.status).toBe('blocked')
      await store.settle(claim, Outcome.completed(1))
      expect(await store.unblockAll()).toBeGreaterThanOrEqual(1)
      expect((await now(next!)).status).toBe('pending')
      const [late] = await store.enqueue([newTask({ after: claim.task._id })])
      expect(late!.status).toBe('pending')
    })

    test('what was asked of a worker can be read', async () => {
      const worker = new Types.ObjectId().toHexString()
      const task = await make.pending()
      await store.claim([task._id], { ...testClaimant, worker })
      expect(await store.controls(worker)).toEqual([])
      await store.cancel(task._id, 'ann')
      expect(await store.controls(worker)).toMatchObject([{ _id: task._id, control: { action: 'cancel' } }])
    })

    test('only an ended task can be removed', async () => {
      const [running, failed] = await Promise.all([make.running(), make.failed()])
      expect(await store.remove(running._id)).toBe(false)
      expect(await store.remove(failed._id)).toBe(true)
      expect(await store.find(failed._id)).toBeNull()
    })
  })
}

/** What holds of every task at every moment (I1, I2, I8, I9). */
export function checkInvariants(task: TaskDocument): void {
  expect(task.lease !== undefined, 'a lease if and only if it runs').toBe(task.status === 'running')
  expect(
    task.attempts.map(({ n }) => n),
    'attempts are numbered without gaps',
  ).toEqual(Array.from({ length: task.attempt }, (_, index) => index + 1))
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
