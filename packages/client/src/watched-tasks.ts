import { type FleetError, FleetError as Refusal, type TaskRow } from '@taskfleet/protocol'
import type {
  LiveQuery,
  RefusedListener,
  RowsListener,
  TasksListeners,
  TasksQuery,
  TasksWatch,
  WatchListeners,
  WatchSource,
} from './api.ts'
import type { TaskFollower } from './task-follower.ts'

/** The fields that are needed to watch a task: all light fields, and the output. */
export const WATCHED_FIELDS =
  'name version status queue priority runAt deadline attempt failures lost maxAttempts worker host publicUrl control progress error output createdAt claimedAt startedAt finishedAt updatedAt'.split(
    ' ',
  )

/** As many ids as fit into one filter. */
const IDS_OF_FILTER = 100
/** How long a task that no longer matches its query may report its end. */
const LAST_END_MS = 2_000

interface Link {
  follow(id: string, listeners: WatchListeners): TaskFollower
  subscribe(query: TasksQuery, listener: RowsListener<'tasks'>, refused: RefusedListener): Promise<LiveQuery<'tasks'>>
}

/** Many tasks that are followed together. Their rows come from few queries, their details from one connection to each host. */
export class WatchedTasks implements TasksWatch {
  readonly #listeners: TasksListeners
  readonly #link: Link
  readonly #followers = new Map<string, TaskFollower>()
  /** Tasks that have left the query, and are followed a little longer. */
  readonly #leaving = new Map<string, ReturnType<typeof setTimeout>>()
  readonly #queries: LiveQuery<'tasks'>[] = []
  #closed = false

  constructor(listeners: TasksListeners, link: Link) {
    this.#listeners = listeners
    this.#link = link
  }

  get sources(): ReadonlyMap<string, WatchSource> {
    const present = [...this.#followers].filter(([id]) => !this.#leaving.has(id))
    return new Map(present.map(([id, follower]) => [id, follower.source]))
  }

  /** @throws {FleetError} the gateway's refusal */
  async open(tasks: readonly string[] | TasksQuery): Promise<void> {
    try {
      if (isQuery(tasks)) await this.#openQuery(tasks)
      else await Promise.all(portions([...new Set(tasks)]).map((ids) => this.#openIds(ids)))
    } catch (error) {
      this.close()
      throw error
    }
  }

  async message(id: string, name: string, data?: unknown): Promise<unknown> {
    const follower = this.#followers.get(id)
    if (follower === undefined) throw new Refusal('NOT_CONNECTED', 'This task is not being watched')
    return follower.message(name, data)
  }

  close(): void {
    this.#closed = true
    for (const query of this.#queries.splice(0)) void query.close()
    for (const timer of this.#leaving.values()) clearTimeout(timer)
    this.#leaving.clear()
    for (const follower of this.#followers.values()) follower.close()
    this.#followers.clear()
  }

  async #openIds(ids: readonly string[]): Promise<void> {
    const query = { filter: { _id: { $in: [...ids] } }, limit: ids.length, fields: WATCHED_FIELDS }
    await this.#subscribe(query, (rows, delta) => {
      if (delta === null) {
        const byId = new Map(rows.map((row) => [row._id, row]))
        for (const id of ids) this.#of(id).update(byId.get(id))
        return
      }
      for (const id of delta.removed) this.#of(id).update(undefined)
      for (const { row } of [...delta.added, ...delta.changed]) this.#of(row._id).update(row)
    })
  }

  async #openQuery(query: TasksQuery): Promise<void> {
    const { fields } = query
    const own = fields === undefined ? query : { ...query, fields: [...new Set([...fields, ...WATCHED_FIELDS])] }
    await this.#subscribe(own, (rows, delta) => {
      if (delta === null) {
        const present = new Set(rows.map(({ _id }) => _id))
        for (const id of this.#followers.keys()) if (!present.has(id)) this.#leave(id)
        for (const row of rows) this.#enter(row)
        return
      }
      for (const id of delta.removed) this.#leave(id)
      for (const { row } of [...delta.added, ...delta.changed]) this.#enter(row)
    })
  }

  async #subscribe(query: TasksQuery, listener: RowsListener<'tasks'>): Promise<void> {
    const refused = (error: FleetError): void => {
      if (this.#closed) return
      this.close()
      this.#listeners.onRefused?.(error)
    }
    const guarded: RowsListener<'tasks'> = (...news) => {
      if (!this.#closed) listener(...news)
    }
    const live = await this.#link.subscribe(query, guarded, refused)
    if (this.#closed) void live.close()
    else this.#queries.push(live)
  }

  #enter(row: TaskRow): void {
    clearTimeout(this.#leaving.get(row._id))
    this.#leaving.delete(row._id)
    this.#of(row._id).update(row)
  }

  #leave(id: string): void {
    if (!this.#followers.has(id) || this.#leaving.has(id)) return
    const leave = (): void => {
      this.#leaving.delete(id)
      this.#followers.get(id)?.close()
      this.#followers.delete(id)
    }
    this.#leaving.set(id, setTimeout(leave, LAST_END_MS))
  }

  #of(id: string): TaskFollower {
    const follower = this.#followers.get(id) ?? this.#link.follow(id, this.#listenersOf(id))
    this.#followers.set(id, follower)
    return follower
  }

  #listenersOf(id: string): WatchListeners {
    const { onTask, onProgress, onLog, onEvent, onDropped, onSource, onEnd } = this.#listeners
    return {
      ...(onTask === undefined ? {} : { onTask }),
      onProgress: (progress) => onProgress?.(id, progress),
      ...(onLog === undefined ? {} : { onLog: (line) => onLog(id, line) }),
      ...(onEvent === undefined ? {} : { onEvent: (event) => onEvent(id, event) }),
      onDropped: (dropped) => onDropped?.(id, dropped),
      onSource: (source) => onSource?.(id, source),
      onEnd: (end) => onEnd?.(id, end),
    }
  }
}

const isQuery = (tasks: readonly string[] | TasksQuery): tasks is TasksQuery => !Array.isArray(tasks)

function portions(ids: readonly string[]): string[][] {
  const portions: string[][] = []
  for (let at = 0; at < ids.length; at += IDS_OF_FILTER) portions.push(ids.slice(at, at + IDS_OF_FILTER))
  return portions
}
