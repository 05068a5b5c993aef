import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { TaskDocument } from '@taskfleet/core'
import {
  ChangeFeed,
  type Claim,
  type FleetDatabase,
  MongoTaskStore,
  Outcome,
  type TaskStore,
  TRANSITIONS,
  WorkerRegister,
} from '@taskfleet/core/internal'
import { type AttemptOutcome, hasEnded } from '@taskfleet/protocol'
import type { Connection } from 'mongoose'
import { randomOf } from '../live/write-history.ts'
import { newTask, testError } from '../task-factory.ts'
import { testReport } from '../test-session.ts'
import { checkHistory, type History } from './check-history.ts'
import { type Mutant, mutated } from './mutants.ts'
import { TaskStream } from './task-stream.ts'

export interface WorkloadOptions {
  seed: number
  tasks?: number
  mutant?: Mutant
  /** `snapshot first` reads before it listens, as a view must not. */
  view?: 'stream first' | 'snapshot first'
}

const LEASE_MS = 400
const ACTORS = 3
/** When views are opened: during many writes, and at a write that may be a task's last one. */
const OPENED_AT_MS = [50, 300, 600, 900, 1_200]
const CLAIMED_AT_ONCE = 3
/** A task that has not ended by `endMs` never will, and a view that is not exact after `settleMs` stays wrong. */
const PATIENCE = {
  /** A slow database under load needs half a minute. */
  right: { endMs: 90_000, settleMs: 20_000 },
  /** Where something is wrong on purpose, this passes each time. */
  wrong: { endMs: 20_000, settleMs: 3_000 },
}
/** The gap of a view that reads before it listens. */
const LATE_MS = 100
const SERVED = { queues: ['default'], tasks: new Map([['test', { oldest: 1, newest: 1 }]]) }

/**
 * A short random life of a fleet: workers claim, end attempts, fall silent and come back; a reaper takes tasks back; clients cancel
 * and pause. Its whole history is checked.
 *
 * @returns what is wrong
 */
export async function runWorkload(database: FleetDatabase, options: WorkloadOptions): Promise<string[]> {
  const { seed, tasks = 40, mutant, view = 'stream first' } = options
  const { endMs, settleMs } = PATIENCE[mutant === undefined && view === 'stream first' ? 'right' : 'wrong']
  // Each run has the collections to itself.
  await Promise.all(['tasks', 'workers'].map((name) => database.db.collection(name).deleteMany({})))
  const stream = await TaskStream.open(database.db)
  const mirrors = OPENED_AT_MS.map((afterMs) => new Mirror(database, afterMs))
  try {
    const connection = mutant === undefined ? database.connection : mutated(database.connection, mutant)
    const life = new Life(database, connection, randomOf(seed))
    const watching = Promise.all(mirrors.map((mirror) => mirror.open(view)))
    await life.run(tasks, endMs)
    await watching
    const stored = await storedTasks(database)
    const history: History = { ...life.told, steps: stream.steps, tasks: stored }
    const settled = await settles(settleMs, () => stored.every((task) => stream.knows(task)))
    const unheard = settled ? [] : ['the stream does not tell of every write']
    const isExact = () => mirrors.every((mirror) => isDeepStrictEqual(mirror.rows(), stored.map(row)))
    const exact = await settles(settleMs, isExact)
    return [...stream.faults, ...unheard, ...checkHistory(history), ...(exact ? [] : ['a view is not exact at rest'])]
  } finally {
    await Promise.all(mirrors.map((mirror) => mirror.close()))
    await stream.close()
  }
}

const storedTasks = (database: FleetDatabase): Promise<TaskDocument[]> =>
  database.db.collection<TaskDocument>('tasks').find().sort({ _id: 1 }).toArray()

async function settles(settleMs: number, isSo: () => boolean): Promise<boolean> {
  for (const until = performance.now() + settleMs; performance.now() < until; await sleep(20)) if (isSo()) return true
  return isSo()
}

const row = ({ _id, status, rev }: TaskDocument): string => `${_id} ${status} ${rev}`

/** All tasks in a view: a snapshot, and the changes of the feed. */
class Mirror {
  readonly #database: FleetDatabase
  readonly #afterMs: number
  readonly #feed: ChangeFeed
  readonly #rows = new Map<string, TaskDocument>()

  constructor(database: FleetDatabase, afterMs: number) {
    this.#database = database
    this.#afterMs = afterMs
    this.#feed = new ChangeFeed(database)
  }

  async open(order: 'stream first' | 'snapshot first'): Promise<void> {
    await sleep(this.#afterMs)
    if (order === 'stream first') await this.#listen()
    for (const task of await storedTasks(this.#database)) this.#see(task)
    if (order === 'stream first') return
    await sleep(LATE_MS)
    await this.#listen()
  }

  rows(): string[] {
    return [...this.#rows.values()].map(row).sort()
  }

  close(): Promise<void> {
    return this.#feed.stop()
  }

  async #listen(): Promise<void> {
    this.#feed.subscribe({
      change: ({ collection, doc }) => {
        if (collection === 'tasks' && doc !== null) this.#see(doc as TaskDocument)
      },
      lost: () => undefined,
    })
    await this.#feed.start()
  }

  #see(task: TaskDocument): void {
    const id = String(task._id)
    if ((this.#rows.get(id)?.rev ?? 0) < task.rev) this.#rows.set(id, task)
  }
}

/** The participants that act on the tasks, and the answers they get. */
class Life {
  readonly told: Pick<History, 'acked' | 'ends' | 'ended'> & {
    acked: string[]
    ends: { id: string; lease: string; outcome: AttemptOutcome }[]
    ended: { session: string; silentMs: number; leaseMs: number }[]
  } = { acked: [], ends: [], ended: [] }
  readonly #database: FleetDatabase
  readonly #store: TaskStore
  readonly #register: WorkerRegister
  readonly #random: () => number
  /** When each session that is alive was renewed last: when that was sent. */
  readonly #renewed = new Map<string, number>()
  #over = false

  constructor(database: FleetDatabase, connection: Connection, random: () => number) {
    this.#database = database
    this.#store = new MongoTaskStore(connection, database.clock)
    this.#register = new WorkerRegister(connection, database.clock)
    this.#random = random
  }

  async run(count: number, longestMs: number): Promise<void> {
    const others = Promise.all([this.#reap(), this.#meddle(), ...Array.from({ length: ACTORS }, () => this.#work())])
    // They end before it only when one of them has failed.
    await Promise.race([this.#post(count, longestMs), others])
    this.#over = true
    await others
  }

  /** Resolves when all have ended, or never will. */
  async #post(count: number, longestMs: number): Promise<void> {
    for (let at = 0; at < count; at += 10) {
      const wanted = Array.from({ length: Math.min(10, count - at) }, () => newTask({ maxAttempts: 50 }))
      for (const { _id } of await this.#store.enqueue(wanted)) this.told.acked.push(String(_id))
      await this.#pause(100)
    }
    const until = performance.now() + longestMs
    while (performance.now() < until && !(await this.#allEnded())) await sleep(50)
  }

  async #allEnded(): Promise<boolean> {
    const tasks = await storedTasks(this.#database)
    return tasks.every(({ status }) => hasEnded(status))
  }

  #pause(mostMs: number): Promise<void> {
    return sleep(this.#random() * mostMs)
  }

  /** A worker, under one session after the other, since it is sometimes away for longer than its lease. */
  async #work(): Promise<void> {
    let session = await this.#open()
    while (!this.#over) {
      const claims = await this.#claim(session)
      if (claims.length === 0) {
        await this.#pause(30)
      } else if (this.#random() < 0.15) {
        // It counts as dead at about the moment at which it writes its ends.
        await sleep(LEASE_MS + this.#random() * 400)
        await Promise.all(claims.map((claim) => this.#end(claim)))
        session = await this.#open()
        continue
      } else {
        for (const claim of claims) {
          await this.#pause(this.#random() < 0.3 ? 300 : 30)
          await this.#end(claim)
        }
      }
      if (!(await this.#renew(session))) session = await this.#open()
    }
  }

  async #open(): Promise<string> {
    const session = randomUUID()
    await this.#renew(session)
    return session
  }

  async #renew(session: string): Promise<boolean> {
    const sentAt = performance.now()
    const report = testReport({ boot: session, leaseMs: LEASE_MS, heartbeatMs: LEASE_MS / 3 })
    const beat = await this.#register.beat(session, report)
    if (beat !== null) this.#renewed.set(session, sentAt)
    return beat !== null
  }

  async #claim(session: string): Promise<Claim[]> {
    const { due } = await this.#store.waiting(SERVED, 20)
    const start = Math.floor(this.#random() * due.length)
    const ids = due.slice(start, start + CLAIMED_AT_ONCE).map(({ _id }) => _id)
    return this.#store.claim(ids, { worker: session, host: 'h' })
  }

  async #end(claim: Claim): Promise<void> {
    if (this.#random() < 0.3) await this.#store.saveCheckpoint(claim.task._id, claim.leaseId, { at: this.#random() })
    const outcome = this.#outcome()
    const settled = await this.#store.settle(claim, outcome)
    if (!settled.owned) return
    const { closes } = TRANSITIONS[outcome.verb]
    this.told.ends.push({ id: String(claim.task._id), lease: claim.leaseId, outcome: closes })
  }

  #outcome(): Outcome {
    const draw = this.#random()
    if (draw < 0.6) return Outcome.completed(draw)
    if (draw < 0.8) return Outcome.retry(testError, 0)
    return draw < 0.9 ? Outcome.released() : Outcome.snoozed(10)
  }

  /** Checks all sessions all the time: only the database's clock keeps it from ending live ones. */
  async #reap(): Promise<void> {
    while (!this.#over) {
      for (const [session, renewedAt] of this.#renewed) {
        if ((await this.#register.end(session)) === null) continue
        const silentMs = performance.now() - renewedAt
        this.told.ended.push({ session, silentMs, leaseMs: LEASE_MS })
        this.#renewed.delete(session)
      }
      await this.#store.reap()
      await this.#pause(40)
    }
  }

  async #meddle(): Promise<void> {
    while (!this.#over) {
      await this.#pause(120)
      const tasks = await storedTasks(this.#database)
      const { _id } = tasks[Math.floor(this.#random() * tasks.length)] ?? {}
      if (_id === undefined) continue
      if (this.#random() < 0.2) await this.#store.cancel(_id, 'test')
      else if (this.#random() < 0.5) await this.#store.pause(_id, 'test')
      for (const { _id } of tasks.filter(({ status }) => status === 'paused')) await this.#store.resume(_id)
    }
    // What was held back last.
    for (const { _id, status } of await storedTasks(this.#database))
      if (status === 'paused') await this.#store.resume(_id)
  }
}
