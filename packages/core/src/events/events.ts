import { type EventStatus, FleetError, hasEnded } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { confirmed } from '../database/unknown-outcome.ts'
import { DocumentGate } from '../documents/gate.ts'
import { readBounded } from '../live/bounded-read.ts'
import { type AsyncBatch, asyncBatch } from '../task/async-batch.ts'
import { TRANSACTION_LIMIT } from '../task/large-batches.ts'
import { parseNewTask } from '../task/new-task.ts'
import { amount, fromNow, NOW } from '../task/server-time.ts'
import type { ObjectId, TaskDocument } from '../task/task-document.ts'
import type { TaskStore } from '../task/task-store.ts'
import { asError } from '../thrown.ts'
import { UnderWay } from '../under-way.ts'
import type { Callbacks } from './callbacks.ts'
import type { CallbackDocument, EventDocument, EventResult } from './event-document.ts'
import { type NewEvent, parseEvent } from './parse-event.ts'

export interface EventsDeps {
  client: mongo.MongoClient
  db: mongo.Db
  store: TaskStore
  callbacks: Callbacks
  /** By default, it makes its own. */
  gate?: DocumentGate
  log?: Logger | undefined
  /** The server's time. */
  now: () => Date
}

type Swept = Pick<EventDocument, '_id' | 'scheduledFor'>

/** The principal that posts an event. */
export interface Poster {
  by: string
  /** Whether it may repeat an event of another principal, and so see its results. */
  knowsOthers: boolean
}

const THE_FLEET: Poster = { by: 'local', knowsOthers: true }

const KEPT_MS = 90 * 86_400_000
const OUTPUT_LIMIT = 16 * 1024
const SWEEP_PAGE = 200
const TRIES = 10
const OPEN: EventStatus[] = ['scheduled', 'processing']

/** Events, each with a task for every callback of its name. An event's status follows its tasks. */
export class Events {
  readonly #deps: EventsDeps
  readonly #events: mongo.Collection<EventDocument>
  readonly #gate: DocumentGate
  readonly #tasks: mongo.Collection<TaskDocument>
  readonly #following: AsyncBatch<ObjectId, void>
  readonly #underWay = new UnderWay(() => undefined)
  /** Where the next sweep continues, by status. */
  readonly #swept = new Map<EventStatus, Swept>()

  constructor(deps: EventsDeps) {
    this.#deps = deps
    this.#gate = deps.gate ?? new DocumentGate(deps.db)
    this.#events = deps.db.collection('events')
    this.#tasks = deps.db.collection('tasks')
    this.#following = asyncBatch((ids) => this.#followAll(ids), { waitMs: 20, most: 100 })
  }

  /**
   * Stores an event and one task for each callback of its name, all or none. Repeating it with the same id does no harm. The
   * poster needs no permission for those tasks, because the maker of the callback had it.
   *
   * @throws {FleetError} as `parseEvent`; `EVENT_EXISTS`
   */
  async post(request: unknown, poster: Poster = THE_FLEET): Promise<EventDocument> {
    const event = parseEvent(request)
    const storing = (): Promise<void> =>
      this.#deps.client.withSession((session) => session.withTransaction(() => this.#store(event, poster, session)))
    await confirmed(storing, [event._id.toHexString()])
    return this.find(event._id)
  }

  async #store(event: NewEvent, poster: Poster, session: mongo.ClientSession): Promise<void> {
    const there = await this.#events.findOne({ _id: event._id }, { session })
    if (there !== null) return this.#refuseUnlessSame(event, there, poster)
    const { callbacks, store } = this.#deps
    const tasks = (await callbacks.of(event.name, session)).map((callback) => taskOf(event, callback))
    if (tasks.length > TRANSACTION_LIMIT) {
      const message = `The event has ${tasks.length} callbacks, but at most ${TRANSACTION_LIMIT} are possible. Remove some`
      throw new FleetError('TOO_MANY', message, { field: 'name' })
    }
    await this.#insert(
      { ...event, by: poster.by },
      tasks.map(({ _id }) => _id),
      session,
    )
    await store.enqueue(tasks, session)
  }

  #refuseUnlessSame(asked: NewEvent, there: EventDocument, { by, knowsOthers }: Poster): void {
    const own = knowsOthers || there.by === by
    if (own && there.name === asked.name && JSON.stringify(there.props) === JSON.stringify(asked.props)) return
    throw new FleetError('EVENT_EXISTS', `The event ${asked._id.toHexString()} already exists with different content`, {
      field: '_id',
    })
  }

  /** An event without callbacks is finished at once. */
  async #insert(
    event: NewEvent & Pick<EventDocument, 'by'>,
    tasks: ObjectId[],
    session: mongo.ClientSession,
  ): Promise<void> {
    const finished = tasks.length === 0
    await this.#events.updateOne(
      { _id: event._id },
      [
        {
          $set: {
            name: { $literal: event.name },
            props: { $literal: event.props },
            by: { $literal: event.by },
            scheduledFor: event.scheduledFor === undefined ? NOW : { $literal: event.scheduledFor },
            ...given({ priority: event.priority }),
            status: finished ? 'finished' : 'scheduled',
            tasks,
            ...(finished ? { processedAt: NOW, results: [], expireAt: fromNow(KEPT_MS) } : {}),
            createdAt: NOW,
            updatedAt: NOW,
            rev: 1,
          },
        },
      ],
      { upsert: true, session },
    )
  }

  /** @throws {FleetError} `NOT_FOUND` */
  async find(id: ObjectId): Promise<EventDocument> {
    const event = await this.#events.findOne({ _id: id })
    if (event === null) throw new FleetError('NOT_FOUND', 'There is no such event', { field: 'id' })
    return this.#gate.required('events', event)
  }

  /** The newest first; with `after`, the events after it, the oldest first. */
  async list({
    name,
    status,
    after,
    limit = 100,
  }: {
    name?: string
    status?: EventStatus
    after?: ObjectId
    limit?: number
  } = {}): Promise<EventDocument[]> {
    const found = this.#events
      .find({
        ...given({ name, status }),
        ...(after === undefined ? {} : { _id: { $gt: after } }),
      })
      .sort({ _id: after === undefined ? -1 : 1 })
      .limit(limit)
    return this.#gate.all('events', (await readBounded(found, limit)).docs)
  }

  /** Stores the new date or priority of an event whose tasks were changed. */
  async reschedule(
    id: ObjectId,
    { scheduledFor, priority }: { scheduledFor?: Date | undefined; priority?: number | undefined },
  ): Promise<EventDocument> {
    await this.#events.updateOne({ _id: id }, [
      {
        $set: {
          ...(scheduledFor === undefined ? {} : { scheduledFor: { $literal: scheduledFor } }),
          ...given({ priority }),
          updatedAt: NOW,
          rev: { $add: [amount('$rev'), 1] },
        },
      },
    ])
    return this.find(id)
  }

  /** @throws {FleetError} `NOT_FOUND`, `NOT_ENDED` */
  async remove(id: ObjectId): Promise<void> {
    const { deletedCount } = await this.#events.deleteOne({ _id: id, status: { $nin: OPEN } })
    if (deletedCount === 1) return
    const { status } = await this.find(id)
    throw new FleetError('NOT_ENDED', `This event is ${status}. Cancel its tasks first`)
  }

  /** Notes that a task of this event has changed. Returns at once. Several changes close together cost one read. */
  changed(id: ObjectId): void {
    this.#underWay.add(this.#following(id))
  }

  /** Resolves when the status of all changed events is updated. */
  settled(): Promise<void> {
    return this.#underWay.settled()
  }

  /** Updates events whose tasks have changed without an update of the event, because a process died in between. */
  async sweep(): Promise<number> {
    const overdue = await this.#sweepPage('scheduled', { scheduledFor: { $lte: this.#deps.now() } })
    const processing = await this.#sweepPage('processing', {})
    const open = [...overdue, ...processing]
    await this.#followAll(open)
    return open.length
  }

  /** The next page after the last one, so that events that never change don't hide the others. */
  async #sweepPage(status: EventStatus, due: mongo.Filter<EventDocument>): Promise<ObjectId[]> {
    const last = this.#swept.get(status)
    const further =
      last === undefined
        ? {}
        : {
            $or: [
              { scheduledFor: { $gt: last.scheduledFor } },
              { scheduledFor: last.scheduledFor, _id: { $gt: last._id } },
            ],
          }
    const page = await this.#events
      .find({ $and: [{ status }, due, further] } as mongo.Filter<EventDocument>)
      .project<EventDocument>({ props: 0, results: 0 })
      .sort({ scheduledFor: 1, _id: 1 })
      .limit(SWEEP_PAGE)
      .toArray()
    const end = page.at(-1)
    if (page.length === SWEEP_PAGE && end !== undefined) this.#swept.set(status, end)
    else this.#swept.delete(status)
    return this.#gate.all('events', page).map(({ _id }) => _id)
  }

  async #followAll(ids: readonly ObjectId[]): Promise<undefined[]> {
    const distinct = new Map(ids.map((id) => [id.toHexString(), id]))
    for (const id of distinct.values()) {
      // An event that can't be updated must not block the others.
      await this.#follow(id).catch((error: unknown) => {
        this.#deps.log?.warn(
          { err: asError(error), event: id.toHexString() },
          'the status of an event could not be updated',
        )
      })
    }
    return ids.map(() => undefined)
  }

  /** Reads the event before its tasks, and writes it only if it is unchanged, so that an older read can't overwrite a newer one. */
  async #follow(id: ObjectId): Promise<void> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const found = await this.#events.findOne({ _id: id }, { projection: { props: 0, results: 0 } })
      const event = this.#gate.one('events', found)
      if (event === null) return
      const followed = await this.#tasks
        .find({ _id: { $in: event.tasks } }, { projection: { name: 1, status: 1, attempt: 1, output: 1, error: 1 } })
        .toArray()
      const byId = new Map(followed.map((task) => [task._id.toHexString(), task]))
      const tasks = event.tasks.flatMap((task) => byId.get(task.toHexString()) ?? [])
      const status = statusOf(tasks)
      if (status === event.status) return
      const ended = !OPEN.includes(status)
      const { modifiedCount } = await this.#events.updateOne({ _id: id, rev: event.rev }, [
        {
          $set: {
            status,
            startedAt: { $ifNull: ['$startedAt', status === 'scheduled' ? '$$REMOVE' : NOW] },
            processedAt: ended ? NOW : '$$REMOVE',
            results: ended ? { $literal: tasks.map(resultOf) } : '$$REMOVE',
            expireAt: ended ? fromNow(KEPT_MS) : '$$REMOVE',
            updatedAt: NOW,
            rev: { $add: [amount('$rev'), 1] },
          },
        },
      ])
      if (modifiedCount === 1) return
    }
  }
}

type Followed = Pick<TaskDocument, '_id' | 'name' | 'status' | 'attempt' | 'output' | 'error'>

function statusOf(tasks: readonly Followed[]): EventStatus {
  if (!tasks.every(({ status }) => hasEnded(status))) {
    return tasks.every(({ status, attempt }) => attempt === 0 && !hasEnded(status)) ? 'scheduled' : 'processing'
  }
  if (tasks.some(({ status }) => status === 'failed')) return 'failed'
  return tasks.some(({ status }) => status === 'cancelled') ? 'cancelled' : 'finished'
}

/** Leaves out an output that is too large for the event; it is still in the task. */
function resultOf({ _id, name, status, output, error }: Followed): EventResult {
  const small = output !== undefined && Buffer.byteLength(JSON.stringify(output) ?? '') <= OUTPUT_LIMIT
  return {
    task: _id,
    name,
    status: status as EventResult['status'],
    ...(small ? { output } : {}),
    ...(status === 'completed' || error === undefined ? {} : { error: { code: error.code, message: error.message } }),
  }
}

function taskOf(event: NewEvent, { task, version, defaults }: CallbackDocument): ReturnType<typeof parseNewTask> {
  const { input = {}, ...options } = defaults
  const given = { ...options, priority: event.priority ?? options.priority, runAt: event.scheduledFor }
  const asked = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return {
    ...parseNewTask({ name: task, version, input: { ...input, ...event.props }, ...asked }),
    event: event._id,
  }
}
