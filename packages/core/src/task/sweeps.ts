import type { mongo } from 'mongoose'
import { isAlive } from '../worker/session.ts'
import type { WorkerDocument } from '../worker/worker-model.ts'
import { reap } from './attempt-updates.ts'
import { guard, OPEN_STATUSES, TRANSITIONS } from './lifecycle.ts'
import type { StoreParts } from './store-parts.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'
import { raise } from './task-updates.ts'

/** How many tasks are read at a time. */
const PAGE = 200
/** How many tasks that could not be written are skipped in one sweep. */
const MOST_LEFT = 2_000
const RAISE_AHEAD_MS = 35_000

/** Each worker's sweeps for the whole fleet: running tasks whose worker is gone, and approaching deadlines. */
export class Sweeps {
  readonly #parts: StoreParts
  readonly #tasks: StoreParts['tasks']

  constructor(parts: StoreParts) {
    this.#parts = parts
    this.#tasks = parts.tasks
  }

  async reap(): Promise<TaskDocument[]> {
    const running = await this.#running()
    const reaped = [
      ...(await this.#reapAbandoned(running)),
      ...(running.some(({ dated }) => dated !== null) ? await this.#reapDated() : []),
    ]
    for (const task of reaped) {
      this.#parts.tell(task)
      // How long it ran isn't known, so it has no durations.
      const { queue, name, status } = task
      this.#parts.onEnd({ queue, name, host: '', outcome: TRANSITIONS.reclaim.closes, status })
    }
    await this.#parts.dependants.followEnded(reaped)
    return reaped
  }

  /** The sessions of the running tasks, and whether one of them has a lease of an earlier version with a date of its own. */
  #running(): Promise<{ _id: unknown; dated: unknown }[]> {
    return this.#tasks
      .aggregate<{ _id: unknown; dated: unknown }>([
        { $match: { status: 'running' } },
        { $group: { _id: '$lease.session', dated: { $max: '$lease.expiresAt' } } },
      ])
      .toArray()
  }

  /**
   * Reads the running tasks before their sessions. A session is stored before its first claim, and an ended session never
   * starts again. This also finds a claim that was in progress when its session ended.
   */
  async #reapAbandoned(groups: readonly { _id: unknown }[]): Promise<TaskDocument[]> {
    const sessions = groups.map(({ _id }) => _id).filter((session) => typeof session === 'string')
    if (sessions.length < groups.length) await this.#endWithoutLease()
    if (sessions.length === 0) return []
    const found = await this.#parts.db
      .collection<WorkerDocument>('workers')
      .find({ _id: { $in: sessions } })
      .toArray()
    const known = new Map(found.map((session) => [session._id, session]))
    const reaped: TaskDocument[] = []
    for (const session of sessions) {
      const worker = known.get(session)
      if (worker === undefined || !isAlive(worker)) reaped.push(...(await this.#reapSession(session, worker)))
    }
    return reaped
  }

  #reapSession(session: string, worker: WorkerDocument | undefined): Promise<TaskDocument[]> {
    const held = { status: 'running', 'lease.session': session } as mongo.Filter<TaskDocument>
    return this.#reapEach(held, (together) => ({ evidence: lossEvidence(worker, together) }))
  }

  /** Reaps tasks of workers of earlier versions, which renew each lease separately. */
  #reapDated(): Promise<TaskDocument[]> {
    const expired = {
      'lease.expiresAt': { $lte: this.#parts.clock.now() },
      status: 'running',
    } as mongo.Filter<TaskDocument>
    return this.#reapEach(expired, () => ({ evidence: 'The worker did not renew its lease', dated: true }))
  }

  /** Reaps page by page. A task that can't be reaped isn't tried again in this sweep and doesn't hide the others. */
  async #reapEach(
    filter: mongo.Filter<TaskDocument>,
    why: (together: number) => { evidence: string; dated?: boolean },
  ): Promise<TaskDocument[]> {
    const reaped: TaskDocument[] = []
    const left: ObjectId[] = []
    for (;;) {
      const page = await this.#tasks
        .find({ $and: [filter, left.length === 0 ? {} : { _id: { $nin: left } }] }, { projection: HEAVY_FIELDS })
        .limit(PAGE)
        .toArray()
      const { evidence, dated } = why(page.length)
      const good = await this.#parts.quarantine.onlyFit(page)
      const update = reap(await this.#parts.retention.get(), evidence, { dated: dated === true })
      const taken = await Promise.all(good.map((task) => this.#reapOne(task, update)))
      reaped.push(...taken.filter((task) => task !== null))
      const done = new Set(taken.map((task) => String(task?._id)))
      left.push(...page.map(({ _id }) => _id).filter((id) => !done.has(String(id))))
      if (page.length < PAGE || left.length > MOST_LEFT) return reaped
    }
  }

  /** A task that can't be reaped must not block the others. */
  async #reapOne(seen: TaskDocument, update: mongo.Document[]): Promise<TaskDocument | null> {
    const task = await this.#parts.quarantine.whileWriting(seen._id, () =>
      this.#tasks.findOneAndUpdate(guard('reclaim', seen._id, seen.lease!.id), update, { returnDocument: 'after' }),
    )
    return task !== null && task.lease === undefined ? task : null
  }

  /** Ends running tasks without a valid lease: they were edited by hand. */
  async #endWithoutLease(): Promise<void> {
    const odd = { status: 'running', 'lease.session': { $not: { $type: 'string' } } } as mongo.Filter<TaskDocument>
    await this.#parts.quarantine.onlyFit(
      await this.#tasks.find(odd, { projection: HEAVY_FIELDS }).limit(MOST_LEFT).toArray(),
    )
  }

  async raiseDue(): Promise<{ raised: TaskDocument[]; nextRaise: Date | null }> {
    const raised: TaskDocument[] = []
    const left: ObjectId[] = []
    for (;;) {
      const now = this.#parts.clock.now()
      const seen = await this.#tasks
        .find(
          {
            raiseAt: { $lte: new Date(now.getTime() + RAISE_AHEAD_MS) },
            status: { $in: [...OPEN_STATUSES] },
            ...(left.length === 0 ? {} : { _id: { $nin: left } }),
          },
          { projection: HEAVY_FIELDS },
        )
        .sort({ raiseAt: 1 })
        .limit(PAGE)
        .toArray()
      const good = await this.#parts.quarantine.onlyFit(seen)
      const due = good.filter(({ raiseAt }) => raiseAt! <= now)
      const taken = await Promise.all(due.map(({ _id, raiseAt }) => this.#raiseOne(_id, raiseAt!)))
      raised.push(...taken.filter((task) => task !== null))
      left.push(...due.filter((_, index) => taken[index] === null).map(({ _id }) => _id))
      // A task that was raised to `high` is found again if its deadline has passed as well.
      const news = taken.some((task) => task !== null)
      if ((!news && (seen.length < PAGE || due.length < good.length)) || left.length > MOST_LEFT) {
        return { raised, nextRaise: good.find(({ raiseAt }) => raiseAt! > now)?.raiseAt ?? null }
      }
    }
  }

  async #raiseOne(id: ObjectId, raiseAt: Date): Promise<TaskDocument | null> {
    const due = { _id: id, status: { $in: [...OPEN_STATUSES] }, raiseAt }
    const task = await this.#parts.quarantine.whileWriting(id, () =>
      this.#tasks.findOneAndUpdate(due, raise(), { returnDocument: 'after' }),
    )
    this.#parts.tell(task)
    return task !== null && task.raiseAt?.getTime() !== raiseAt.getTime() ? task : null
  }
}

/** Large fields that no decision needs. */
const HEAVY_FIELDS = { input: 0, output: 0, checkpoint: 0 } as const

/** Describes for people how a task lost its worker. */
function lossEvidence(worker: WorkerDocument | undefined, together: number): string {
  const others = together === 1 ? 'nothing else ran there' : `${together - 1} other tasks ran there`
  if (worker === undefined) return `The session of its worker is gone; ${others}`
  const { name, host, pid, state, until } = worker
  const since = until instanceof Date ? ` by ${until.toISOString()}` : ''
  const end = state === 'stopped' ? 'stopped without giving it back' : `did not renew its session${since}`
  return `The worker ${name} (${host}, process ${pid}) ${end}; ${others}`
}
