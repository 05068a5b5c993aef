import { Fleet } from '@taskfleet/core'
import { failCommand } from '@taskfleet/testkit/fail-command'
import { MONGOD, mongodTitle, ReplicaSet } from '@taskfleet/testkit/replica-set'
import { newTask } from '@taskfleet/testkit/task-factory'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

const COMMANDS = ['find', 'aggregate', 'insert', 'update', 'delete', 'findAndModify', 'commitTransaction'] as const
/** NotWritablePrimary, InterruptedDueToReplStateChange, ShutdownInProgress. */
const ELECTION_CODES = [10_107, 11_602, 91]
/** WriteConcernTimeout, UnsatisfiableWriteConcern. */
const CONFIRMATION_CODES = [64, 100]
const CLAIMANT = { worker: 'w', host: 'h' }

describe.skipIf(MONGOD === undefined)(mongodTitle('commands that fail'), { timeout: 300_000 }, () => {
  let set: ReplicaSet
  let fleet: Fleet
  let undo: (() => Promise<void>) | undefined

  beforeAll(async () => {
    set = await ReplicaSet.start()
    fleet = await Fleet.connect(set.uri, { name: 'failing' })
    await fleet.eventsFor().createCallback({ event: 'arrived', task: 'x' })
  }, 300_000)
  afterEach(async () => {
    await undo?.()
    undo = undefined
  })
  afterAll(async () => {
    await fleet?.close()
    await set?.stop()
  })

  /** A step of a task's life, repeated as its callers repeat it. */
  async function insisted<T>(step: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await step()
      } catch (error) {
        if (tries === 10) throw error
      }
    }
  }

  async function life(): Promise<void> {
    const task = newTask()
    await insisted(() => fleet.store.enqueue([task]))
    // A claim whose answer was lost holds the task until a reaper takes it back: as long as it waits, it is claimed again.
    const claims = await insisted(async () => {
      const claimed = await fleet.store.claim([task._id], CLAIMANT)
      if (claimed.length === 0) {
        const now = await fleet.store.find(task._id)
        if (now?.lease === undefined) throw new Error('not claimed yet')
        return [{ task: now, leaseId: now.lease.id, sentAt: 0 }]
      }
      return claimed
    })
    await insisted(() => fleet.store.saveCheckpoint(task._id, claims[0]!.leaseId, { at: 1 }))
    expect(await insisted(() => fleet.store.settle(claims[0]!, { verb: 'complete', output: 1 }))).toEqual({
      owned: true,
      status: 'completed',
    })
    const stored = await fleet.store.find(task._id)
    expect(stored).toMatchObject({ status: 'completed', attempt: 1, output: 1, checkpoint: { at: 1 } })
  }

  describe.each(COMMANDS)('%s', (command) => {
    test.each(ELECTION_CODES)('code %i: a task is stored, run and ended once', async (errorCode) => {
      undo = await failCommand(fleet.database.db, { failCommands: [command], errorCode, appName: 'taskfleet' }, 2)
      await life()
    })

    test.each(CONFIRMATION_CODES)('an unconfirmed write, code %i: never reported as done', async (code) => {
      const writeConcernError = { code, errmsg: 'not confirmed' }
      undo = await failCommand(
        fleet.database.db,
        { failCommands: [command], writeConcernError, appName: 'taskfleet' },
        1,
      )
      await life()
    })

    test('a broken connection: a task is stored, run and ended once', async () => {
      undo = await failCommand(
        fleet.database.db,
        { failCommands: [command], closeConnection: true, appName: 'taskfleet' },
        2,
      )
      await life()
    })
  })

  test.each([...ELECTION_CODES, ...CONFIRMATION_CODES])('an event is stored once, code %i', async (code) => {
    const failure = CONFIRMATION_CODES.includes(code)
      ? { writeConcernError: { code, errmsg: 'not confirmed' } }
      : { errorCode: code, errorLabels: ['UnknownTransactionCommitResult'] }
    undo = await failCommand(fleet.database.db, { failCommands: ['commitTransaction'], ...failure }, 1)
    const { _id } = await fleet.eventsFor().post({ name: 'arrived' })
    const { tasks } = await fleet.eventsFor().show(_id)
    expect(tasks).toHaveLength(1)
  })
})
