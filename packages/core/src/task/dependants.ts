import { hasEnded, type TaskStatus } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import { type End, endWithout } from '../history/roll-ups.ts'
import {
  type Decision,
  type Dependant,
  decide,
  known,
  type Predecessor,
  predecessorFailed,
  predecessorsOf,
  type Standpoint,
  standpoints,
} from './dependencies.ts'
import * as dependencyUpdates from './dependency-updates.ts'
import { guard, TRANSITIONS } from './lifecycle.ts'
import type { RetentionPolicy } from './retention.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'

type Tasks = mongo.Collection<TaskDocument>
/** A blocked task as it was read. The decision about it is written only if `rev` is still the same. */
type Blocked = Dependant & Pick<TaskDocument, 'rev' | 'event' | 'queue' | 'name'>
type Decided = { task: Blocked; now: Standpoint[]; decision: Decision }
type Write = { task: Blocked; update: mongo.Document[]; verb: 'unblock' | 'abandon' | 'skip' }

/** How many blocked tasks are decided about at a time. */
const PAGE = 200
/** How many ids one query asks for. */
const IDS_AT_A_TIME = 2_000
/** How often a task is checked again when another writer changed it before its decision was written. */
const TRIES = 5
const BLOCKED_FIELDS = {
  after: 1,
  ifFailed: 1,
  predecessors: 1,
  attempt: 1,
  rev: 1,
  event: 1,
  queue: 1,
  name: 1,
} as const

/**
 * Moves the tasks that wait for others. Two rules keep every task from waiting forever. A process that ends a task looks for
 * its successors *after* the end is stored. A process that makes a task wait looks at its predecessors *after* that is
 * stored. The later of the two always sees the earlier write.
 */
export class Dependants {
  readonly #tasks: Tasks
  readonly #retention: RetentionPolicy
  readonly #onMoved: (task: Pick<TaskDocument, 'event'>) => void
  readonly #onEnd: (end: End) => void

  /** @param onMoved called for each task whose status was changed here */
  constructor(
    tasks: Tasks,
    retention: RetentionPolicy,
    onMoved: (task: Pick<TaskDocument, 'event'>) => void,
    onEnd: (end: End) => void = () => undefined,
  ) {
    this.#onEnd = onEnd
    this.#tasks = tasks
    this.#retention = retention
    this.#onMoved = onMoved
  }

  /** Moves the successors of ended or removed tasks. If a successor ends because of that, its successors move too. */
  async follow(ended: readonly ObjectId[]): Promise<number> {
    // Most fleets usually have no blocked tasks, and one query for any is much cheaper than a query for each task.
    const any = await this.#tasks.findOne({ status: 'blocked' }, { projection: { _id: 1 } })
    if (any === null) return 0
    let moved = 0
    const waiting = [...ended]
    while (waiting.length > 0) {
      const filter = {
        after: { $in: waiting.splice(0, IDS_AT_A_TIME) },
        status: 'blocked',
      } as mongo.Filter<TaskDocument>
      for await (const page of this.#pages(filter)) {
        const result = await this.#decide(page)
        moved += result.moved
        waiting.push(...result.ended)
      }
    }
    return moved
  }

  /** As `follow`, for those of the tasks that have ended. */
  async followEnded(tasks: readonly (Pick<TaskDocument, '_id' | 'status'> | null)[]): Promise<void> {
    const ended = tasks.flatMap((task) => (task !== null && hasEnded(task.status) ? [task._id] : []))
    if (ended.length > 0) await this.follow(ended)
  }

  /** Checks blocked tasks again: a predecessor may have ended before they were stored as blocked. */
  async reconsider(ids: readonly ObjectId[]): Promise<number> {
    let moved = 0
    for (let at = 0; at < ids.length; at += PAGE) {
      const page = { _id: { $in: ids.slice(at, at + PAGE) }, status: 'blocked' } as mongo.Filter<TaskDocument>
      moved += await this.#decideAndFollow(await this.#find(page))
    }
    return moved
  }

  /** Checks every blocked task: a process may have died after it ended a task and before it moved the successors. */
  async sweep(): Promise<number> {
    let moved = 0
    for await (const page of this.#pages({ status: 'blocked' })) moved += await this.#decideAndFollow(page)
    return moved
  }

  /** How the predecessors of a task stand now. */
  async standpoints(task: Dependant, session?: mongo.ClientSession): Promise<Standpoint[]> {
    return standpoints(task, await this.predecessors([task], session))
  }

  /** The stored predecessors of tasks, by their ids as text. */
  async predecessors(tasks: readonly Dependant[], session?: mongo.ClientSession): Promise<Map<string, Predecessor>> {
    const ids = [...new Map(tasks.flatMap(predecessorsOf).map((id) => [String(id), id])).values()]
    const found = new Map<string, Predecessor>()
    for (let at = 0; at < ids.length; at += IDS_AT_A_TIME) {
      const some = { _id: { $in: ids.slice(at, at + IDS_AT_A_TIME) } }
      const options = { projection: { status: 1, rev: 1 }, ...given({ session }) }
      for (const task of await this.#tasks.find(some, options).toArray()) found.set(String(task._id), task)
    }
    return found
  }

  async #decideAndFollow(page: readonly Blocked[]): Promise<number> {
    const { moved, ended } = await this.#decide(page)
    return moved + (ended.length === 0 ? 0 : await this.follow(ended))
  }

  async #decide(page: readonly Blocked[]): Promise<{ moved: number; ended: ObjectId[] }> {
    const ended: ObjectId[] = []
    let moved = 0
    let left = page
    for (let tries = 0; left.length > 0 && tries < TRIES; tries += 1) {
      const found = await this.predecessors(left)
      const decided = left.map((task) => {
        const now = standpoints(task, found)
        return { task, now, decision: decide(task, now) }
      })
      await this.#note(decided.filter(({ decision }) => decision === null))
      const writes = await this.#writes(decided)
      const { changed, missed } = await this.#write(writes)
      moved += changed.length
      for (const { task, verb } of changed) {
        this.#onMoved(task)
        if (verb !== 'unblock') ended.push(task._id)
      }
      left = await this.#find({ _id: { $in: missed }, status: 'blocked' } as mongo.Filter<TaskDocument>)
    }
    return { moved, ended }
  }

  async #writes(decided: readonly Decided[]): Promise<Write[]> {
    const retention = await this.#retention.get()
    return decided.flatMap(({ task, now, decision }) => {
      if (decision === null) return []
      const { verb } = decision
      const update =
        verb === 'unblock'
          ? dependencyUpdates.unblock(known(now))
          : dependencyUpdates.giveUp(verb, predecessorFailed(decision.because), retention)
      return [{ task, verb, update }]
    })
  }

  /** Guards each write by the revision that was read: a change in between may have changed what the task waits for. */
  async #write(writes: readonly Write[]): Promise<{ changed: Write[]; missed: ObjectId[] }> {
    if (writes.length === 0) return { changed: [], missed: [] }
    const operations = writes.map(({ task, verb, update }) => ({
      updateOne: { filter: { ...guard(verb, task._id), rev: task.rev }, update },
    }))
    const { matchedCount } = await this.#tasks.bulkWrite(operations as never, { ordered: false })
    if (matchedCount === writes.length) {
      for (const { task, verb } of writes)
        if (verb !== 'unblock') this.#onEnd(endWithout({ ...task, status: TRANSITIONS[verb].to }))
      return { changed: [...writes], missed: [] }
    }
    const now = await this.#tasks
      .find({ _id: { $in: writes.map(({ task }) => task._id) } }, { projection: { status: 1 } })
      .toArray()
    const status = new Map<string, TaskStatus>(now.map((task) => [String(task._id), task.status]))
    const missed = writes.filter(({ task }) => status.get(String(task._id)) === 'blocked')
    // Tasks that another process moved are followed as well. Following a task twice does no harm.
    const changed = writes.filter(({ task }) => {
      const there = status.get(String(task._id))
      return there !== undefined && there !== 'blocked'
    })
    return { changed, missed: missed.map(({ task }) => task._id) }
  }

  /** Stores which predecessors have completed: retention may remove them before the last one completes. */
  async #note(staying: readonly Pick<Decided, 'task' | 'now'>[]): Promise<void> {
    const operations = staying.flatMap(({ task, now }) => {
      const { completed } = known(now)
      if (completed.length === (task.predecessors?.completed.length ?? 0)) return []
      return [{ updateOne: { filter: guard('unblock', task._id), update: dependencyUpdates.noteCompleted(completed) } }]
    })
    if (operations.length > 0) await this.#tasks.bulkWrite(operations as never, { ordered: false })
  }

  #find(filter: mongo.Filter<TaskDocument>): Promise<Blocked[]> {
    return this.#tasks.find(filter, { projection: BLOCKED_FIELDS }).toArray() as Promise<Blocked[]>
  }

  async *#pages(filter: mongo.Filter<TaskDocument>): AsyncGenerator<Blocked[]> {
    let page: Blocked[] = []
    for await (const task of this.#tasks.find(filter, { projection: BLOCKED_FIELDS }).batchSize(PAGE)) {
      page.push(task as Blocked)
      if (page.length < PAGE) continue
      yield page
      page = []
    }
    if (page.length > 0) yield page
  }
}
