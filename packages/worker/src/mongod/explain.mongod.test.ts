import { Fleet } from '@taskfleet/core'
import { countOpen } from '@taskfleet/core/internal'
import { MONGOD, mongodTitle, ReplicaSet } from '@taskfleet/testkit/replica-set'
import { newTask } from '@taskfleet/testkit/task-factory'
import type { Db, Document } from 'mongodb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const EACH = 1_000_000
const AT_ONCE = 10_000
/** More keys than this for one answer is a walk that grows with the collection. */
const MOST_EXAMINED = 5_000
const CLAIMANT = { worker: 'w', host: 'h' }

const SERVED = { queues: ['default'], tasks: new Map([['test', { oldest: 1, newest: 1 }]]) }
/** Frequent queries of workers, gateways and pages. */
const HOT: Record<string, (fleet: Fleet) => Promise<unknown>> = {
  'what waits, in claim order': (fleet) => fleet.store.waiting(SERVED, 100),
  'a claim': async (fleet) => {
    const [task] = await fleet.store.enqueue([newTask()])
    return fleet.store.claim([task!._id], CLAIMANT)
  },
  'a claim of several': async (fleet) => {
    const tasks = await fleet.store.enqueue([newTask(), newTask(), newTask()])
    const claims = await fleet.store.claim(
      tasks.map(({ _id }) => _id),
      CLAIMANT,
    )
    return Promise.all(claims.map((claim) => fleet.store.settle(claim, { verb: 'complete', output: 1 })))
  },
  'a task with a key': (fleet) => fleet.store.enqueue([newTask({ key: 'once', keyPolicy: 'replace' })]),
  'a task before all others': (fleet) => fleet.store.enqueue([newTask({ position: 'front' })]),
  'the successors of a task': (fleet) => fleet.store.unblock(newTask()._id),
  'every blocked task': (fleet) => fleet.store.unblockAll(),
  'the reaper': (fleet) => fleet.store.reap(),
  deadlines: (fleet) => fleet.store.raiseDue(),
  'places of limited queues': (fleet) => fleet.store.slots(),
  'what a session holds': (fleet) => fleet.store.held('w'),
  'schedules that are due': (fleet) => fleet.schedules.due(),
  'events that are overdue': (fleet) => fleet.events.sweep(),
  'the newest tasks': (fleet) => fleet.tasks.find({}).sort({ _id: -1 }).limit(100).toArray(),
  'a list of several statuses': (fleet) =>
    fleet.as().tasks.list({ filter: { status: { $in: ['running', 'paused', 'blocked'] } }, sort: { _id: 1 } }),
  'what ended last': (fleet) =>
    fleet.tasks
      .find({ finishedAt: { $gte: new Date(0) } })
      .sort({ finishedAt: -1, _id: -1 })
      .limit(100)
      .toArray(),
  'what ended last, as a page asks': (fleet) =>
    fleet.as().tasks.list({ filter: { status: { $in: ['completed', 'failed'] } }, sort: { finishedAt: -1 } }),
  'log lines of a task': (fleet) => fleet.logs.read(newTask()._id, {}),
  'the audit log': (fleet) => fleet.audit.list(),
  'what ended, by minute': (fleet) => fleet.as().tasks.history({}),
  'errors by their last time': (fleet) => fleet.errors.list({ state: 'open' }),
}

/** What walks a whole phase of the tasks: along the keys of one index, without a document. */
const COUNTS: Record<string, (fleet: Fleet) => Promise<unknown>> = {
  'the open tasks by queue and name': (fleet) => countOpen(fleet.tasks),
  'the history by status, queue and name': async ({ tasks }) => {
    const ended = { $match: { finishedAt: { $lt: new Date() } } }
    const group = { $group: { _id: { status: '$status', queue: '$queue', name: '$name' }, count: { $sum: 1 } } }
    await tasks.aggregate([ended, group]).toArray()
  },
  'failed tasks, for a command': (fleet) => fleet.as().tasks.retry({ filter: { name: 'test' }, dryRun: true }),
  'the claim order of a queue': async ({ tasks }) => {
    const keys = { name: 1, version: 1, queue: 1, priority: 1, order: 1, runAt: 1, lazy: 1, lost: 1, updatedAt: 1 }
    const first = { status: 'pending', queue: 'default', priority: 5, order: { $lte: new Date() } } as const
    await tasks.find(first, { projection: keys }).sort({ order: 1 }).limit(100).toArray()
  },
}

describe.skipIf(MONGOD === undefined)(
  mongodTitle(`hot queries at ${EACH} waiting and ${EACH} ended tasks`),
  { timeout: 1_800_000 },
  () => {
    let set: ReplicaSet
    let fleet: Fleet

    beforeAll(async () => {
      set = await ReplicaSet.start()
      fleet = await Fleet.connect(set.uri, { name: 'large' })
      await fill(fleet)
    }, 1_800_000)
    afterAll(async () => {
      await fleet?.close()
      await set?.stop()
    })

    test.each(Object.keys(HOT))('%s walks an index, without a sort', async (what) => {
      const { db } = fleet.database
      for (const command of await commandsOf(db, () => HOT[what]!(fleet))) {
        const explained = await db.command({ explain: command, verbosity: 'executionStats' })
        const stages = stagesOf(explained)
        expect.soft(stages, JSON.stringify(command)).not.toContain('COLLSCAN')
        expect.soft(stages, JSON.stringify(command)).not.toContain('SORT')
        expect.soft(statsOf(explained).totalKeysExamined, JSON.stringify(command)).toBeLessThan(MOST_EXAMINED)
      }
    })

    test.each(Object.keys(COUNTS))('%s reads keys and no document', async (what) => {
      const { db } = fleet.database
      for (const command of await commandsOf(db, () => COUNTS[what]!(fleet))) {
        const explained = await db.command({ explain: command, verbosity: 'executionStats' })
        expect.soft(stagesOf(explained), JSON.stringify(command)).not.toContain('COLLSCAN')
        expect.soft(statsOf(explained).totalDocsExamined, JSON.stringify(command)).toBe(0)
      }
    })
  },
)

/** The commands that something sends, as the server's profiler has written them down. */
async function commandsOf(db: Db, act: () => Promise<unknown>): Promise<Document[]> {
  await db.command({ profile: 2 })
  try {
    await act()
  } finally {
    await db.command({ profile: 0 })
  }
  const profile = db.collection('system.profile')
  const seen = await profile.find({ 'command.find': { $ne: 'system.profile' } }).toArray()
  await profile.drop()
  const asked = seen.map(({ command }) => command as Document)
  return asked.flatMap((command) => explainable(command))
}

const EXPLAINED = ['find', 'aggregate', 'count', 'findAndModify', 'update', 'delete']
/** What belongs to the connection and not to the question. */
const OF_CONNECTION = new Set([
  'lsid',
  'txnNumber',
  '$clusterTime',
  '$db',
  '$readPreference',
  'writeConcern',
  'readConcern',
  'maxTimeMS',
])

function explainable(command: Document): Document[] {
  if (!EXPLAINED.some((name) => name in command)) return []
  const fields = Object.entries(command).filter(([field]) => !OF_CONNECTION.has(field))
  const plain = Object.fromEntries(fields)
  return 'aggregate' in plain && !('cursor' in plain) ? [{ ...plain, cursor: {} }] : [plain]
}

interface Examined {
  totalKeysExamined: number
  totalDocsExamined: number
}

/** Of an aggregation, they are in its first stage. */
function statsOf(explained: Document): Examined {
  const cursor = (explained.stages as Document[] | undefined)?.[0]?.$cursor as Document | undefined
  return (explained.executionStats ?? cursor?.executionStats) as Examined
}

/** Every stage of the plan that won, and of what it was made. */
function stagesOf(explained: Document): string[] {
  const found: string[] = []
  const look = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    for (const [field, value] of Object.entries(node)) {
      if (field === 'rejectedPlans') continue
      if (field === 'stage' && typeof value === 'string') found.push(value)
      else look(value)
    }
  }
  look(explained)
  return found
}

/** Half of them wait, half have completed; written as they are, since a million lives would take an hour. */
async function fill({ store, tasks }: Fleet): Promise<void> {
  const [one] = await store.enqueue([newTask()])
  const [model] = await store.enqueue([newTask()])
  const [claim] = await store.claim([model!._id], CLAIMANT)
  await store.settle(claim!, { verb: 'complete', output: 1 })
  const [waits, ended] = [await store.find(one!._id), await store.find(model!._id)]
  for (let n = 0; n < EACH; n += AT_ONCE) {
    const copies = Array.from({ length: AT_ONCE }, (_, index) => {
      const at = new Date(Date.now() - EACH + n + index)
      return [
        { ...waits!, _id: newTask()._id, priority: 1 + (index % 10), order: at, runAt: at, createdAt: at },
        { ...ended!, _id: newTask()._id, finishedAt: at, createdAt: at },
      ]
    })
    await tasks.insertMany(copies.flat(), { ordered: false })
  }
}
