import { FleetError, hasEnded, type TaskEnd } from '@taskfleet/protocol'
import { given, runAfter } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import { driver } from '../database/driver.ts'
import type { TaskDocument } from '../task/task-document.ts'
import { asError } from '../thrown.ts'
import type { Feed } from './feed.ts'
import { toWire } from './wire.ts'

/** How long the stream stays open after the last wait, in milliseconds. */
const LINGER_MS = 2_000

interface Waiting {
  done(end: TaskEnd): void
  fail(error: unknown): void
}

/** Waits for tasks to end. All waits share one change stream, which is open only while there are any. */
export class TaskResults {
  readonly #tasks: mongo.Collection<TaskDocument>
  readonly #openFeed: () => Feed
  readonly #waiting = new Map<string, Set<Waiting>>()
  #feed: Feed | undefined
  #closing: (() => void) | undefined

  constructor(tasks: mongo.Collection<TaskDocument>, openFeed: () => Feed) {
    this.#tasks = tasks
    this.#openFeed = openFeed
  }

  /**
   * @param timeoutMs how long to wait; without a limit by default
   * @throws {FleetError} `NOT_FOUND` when the task doesn't exist or is removed, `RESULT_TIMEOUT`, `CLOSED`
   */
  async of(_id: TaskDocument['_id'], timeoutMs?: number): Promise<TaskEnd> {
    const id = _id.toHexString()
    let leave: (() => void) | undefined
    let undo: (() => void) | undefined
    const ended = new Promise<TaskEnd>((done, fail) => {
      const waiting = { done, fail }
      leave = this.#join(id, waiting)
      if (timeoutMs !== undefined) undo = runAfter(timeoutMs, () => fail(timedOut(id, timeoutMs)))
    })
    // The promise may reject before it is awaited below.
    ended.catch(() => undefined)
    try {
      this.#feed ??= this.#watch()
      await Promise.race([this.#feed.start(), ended])
      await this.#look([_id])
      return await ended
    } finally {
      undo?.()
      leave?.()
    }
  }

  async close(): Promise<void> {
    this.#closing?.()
    const feed = this.#feed
    this.#feed = undefined
    for (const waiting of this.#waiting.values()) {
      for (const { fail } of waiting) fail(new FleetError('CLOSED', 'This fleet is closed'))
    }
    await feed?.stop()
  }

  #join(id: string, waiting: Waiting): () => void {
    this.#closing?.()
    this.#closing = undefined
    const all = this.#waiting.get(id) ?? new Set()
    this.#waiting.set(id, all.add(waiting))
    return () => {
      all.delete(waiting)
      if (all.size === 0 && this.#waiting.get(id) === all) this.#waiting.delete(id)
      if (this.#waiting.size === 0) this.#closing = runAfter(LINGER_MS, () => void this.close())
    }
  }

  #watch(): Feed {
    const feed = this.#openFeed()
    feed.subscribe({
      change: ({ collection, id, doc }) => {
        if (collection === 'tasks') this.#saw(String(id), doc as TaskDocument | null)
      },
      lost: () => void this.#look([...this.#waiting.keys()].map((id) => new driver.ObjectId(id))),
    })
    return feed
  }

  /** Reads the tasks: the stream doesn't report changes from before it opened. */
  async #look(ids: readonly TaskDocument['_id'][]): Promise<void> {
    try {
      const found = await this.#tasks.find({ _id: { $in: [...ids] } }).toArray()
      const byId = new Map(found.map((task) => [task._id.toHexString(), task]))
      for (const id of ids) this.#saw(id.toHexString(), byId.get(id.toHexString()) ?? null)
    } catch (error) {
      for (const id of ids) for (const { fail } of this.#waiting.get(id.toHexString()) ?? []) fail(asError(error))
    }
  }

  #saw(id: string, task: TaskDocument | null): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    if (task === null) {
      const gone = new FleetError('NOT_FOUND', 'There is no such task', { field: 'id' })
      for (const { fail } of waiting) fail(gone)
    } else if (hasEnded(task.status)) {
      const { status, output, error } = task
      const end = toWire({
        status,
        ...given({ output }),
        ...(error === undefined || status !== 'failed' ? {} : { error }),
      }) as TaskEnd
      for (const { done } of waiting) done(end)
    }
  }
}

const timedOut = (id: string, ms: number): FleetError =>
  new FleetError('RESULT_TIMEOUT', `The task ${id} has not ended within ${ms} ms; it continues`)
