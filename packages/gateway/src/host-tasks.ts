import { asError, type Fleet, type Principal } from '@taskfleet/core'
import { parseId, requireReach, requireScope, toWire } from '@taskfleet/core/internal'
import { FleetError, type TaskStatus, type WatchedEnd, type WatchedTask } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { Logger } from 'pino'
import type { Socket } from 'socket.io'
import type { Access } from './access.ts'
import type { Accounts } from './accounts.ts'
import type { Attempts, RunningAttempt } from './attempts.ts'
import type { Backlog } from './backlog.ts'
import { TasksQueue } from './tasks-queue.ts'
import { WatchedRows } from './watched-rows.ts'

/** How long a task may be claimed in the database before the worker has the answer to its claim. */
const CLAIM_WAIT_MS = 1_000

/** What a client wants to get about tasks, besides their progress and ends. */
export interface Wants {
  logs?: boolean | undefined
  events?: boolean | undefined
}

interface StoredTask {
  status: TaskStatus
  queue: string
  name: string
  worker?: string
  publicUrl?: string
}

interface HostTasksParts {
  fleet: Fleet
  access: Access
  accounts: Accounts
  attempts: Attempts
  backlog: Backlog
  log: Logger
}

/** The tasks of this process that one connection watches. */
export class HostTasks {
  readonly #parts: HostTasksParts
  readonly #holder: Principal
  readonly #queue: TasksQueue
  readonly #rows: WatchedRows
  /** The undo of each watched task. */
  readonly #watched = new Map<string, () => void>()
  /** The latest request for each task, so that a later one counts. */
  readonly #asked = new Map<string, object>()
  #closed = false

  constructor(socket: Socket, holder: Principal, parts: HostTasksParts) {
    this.#parts = parts
    this.#holder = holder
    this.#queue = new TasksQueue(socket, parts.backlog)
    this.#rows = new WatchedRows(socket, parts.accounts)
  }

  /**
   * Checks and watches each task by itself. Those that run here are watched at once, whatever the others need.
   *
   * @throws {FleetError} `UNAUTHENTICATED`, `FORBIDDEN` when the key has lost its permission since the connection was made
   */
  async watch(ids: readonly string[], wants: Wants): Promise<WatchedTask[]> {
    const mark = {}
    const distinct = [...new Set(ids)]
    for (const id of distinct) this.#asked.set(id, mark)
    try {
      const present = await this.#parts.access.present(this.#holder.id)
      requireScope(present, 'read')
      const answers = new Map<string, WatchedTask>()
      const away: string[] = []
      for (const id of distinct) {
        if (this.#parts.attempts.attempt(id) === undefined) away.push(id)
        else
          answers.set(
            id,
            this.#answer(id, () => this.#begin(id, present, wants, mark)),
          )
      }
      for (const answer of await this.#thoseAway(away, present, wants, mark)) answers.set(answer.id, answer)
      return distinct.map((id) => answers.get(id)!)
    } finally {
      for (const id of distinct) if (this.#asked.get(id) === mark) this.#asked.delete(id)
    }
  }

  unwatch(ids: readonly string[]): void {
    for (const id of ids) {
      this.#asked.delete(id)
      this.#stop(id)
      this.#queue.forget(id)
    }
  }

  /** @throws {FleetError} `TASK_NOT_HERE`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED`, and the handler's errors */
  async message(id: string, name: string, data: unknown): Promise<unknown> {
    const run = this.#parts.attempts.attempt(parseId(id).toHexString())
    if (run === undefined) throw new FleetError('TASK_NOT_HERE', 'This task does not run here', { field: 'id' })
    requireReach(this.#holder, run.claim.task)
    return toWire(await run.message(name, data))
  }

  close(): void {
    this.#closed = true
    for (const id of [...this.#watched.keys()]) this.#stop(id)
    this.#rows.clear()
    this.#queue.close()
  }

  #stop(id: string): void {
    this.#watched.get(id)?.()
    this.#watched.delete(id)
    this.#rows.give(id)
  }

  /** One query for all tasks that do not run here, or are not known to run here yet. */
  async #thoseAway(ids: readonly string[], present: Principal, wants: Wants, mark: object): Promise<WatchedTask[]> {
    const valid = ids.filter((id) => /^[0-9a-f]{24}$/.test(id))
    const { fleet, attempts } = this.#parts
    const found =
      valid.length === 0
        ? []
        : await fleet.tasks
            .find({ _id: { $in: valid.map((id) => parseId(id)) } })
            .project<StoredTask & { _id: { toHexString(): string } }>({
              status: 1,
              queue: 1,
              name: 1,
              worker: 1,
              publicUrl: 1,
            })
            .toArray()
    const stored = new Map(found.map((task) => [task._id.toHexString(), task]))
    const coming = ids.filter((id) => {
      const task = stored.get(id)
      return task?.status === 'running' && task.worker === attempts.id
    })
    await this.#untilHere(coming)
    return ids.map((id) =>
      this.#answer(id, () => {
        // Throws for what is not an id.
        parseId(id)
        if (attempts.attempt(id) !== undefined) return this.#begin(id, present, wants, mark)
        const task = stored.get(id)
        if (task === undefined) throw new FleetError('NOT_FOUND', 'There is no such task')
        requireReach(present, task)
        const { status, publicUrl } = task
        const error = { code: 'TASK_NOT_HERE', message: 'This task does not run here' }
        return { id, error, status, ...given({ publicUrl }) }
      }),
    )
  }

  async #untilHere(ids: readonly string[]): Promise<void> {
    const { attempts } = this.#parts
    for (const until = performance.now() + CLAIM_WAIT_MS; performance.now() < until && !this.#closed; ) {
      if (ids.every((id) => attempts.attempt(id) !== undefined)) return
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  #answer(id: string, act: () => WatchedTask): WatchedTask {
    try {
      return act()
    } catch (error) {
      if (!(error instanceof FleetError)) throw error
      return { id, error: { code: error.code, message: error.message, ...given({ field: error.field }) } }
    }
  }

  /** @throws {FleetError} `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED`, `TOO_MANY_WATCHES`, `GONE` */
  #begin(id: string, present: Principal, wants: Wants, mark: object): WatchedTask {
    const run = this.#parts.attempts.attempt(id) as RunningAttempt
    const { task } = run.claim
    requireReach(present, task)
    if (this.#closed || this.#asked.get(id) !== mark) {
      // A later request for the same task counts.
      if (!this.#closed && (this.#asked.has(id) || this.#watched.has(id))) return { id, attempt: task.attempt }
      throw new FleetError('GONE', 'This watch was cancelled')
    }
    this.#rows.take(id)
    this.#watched.get(id)?.()
    this.#watched.set(id, this.#follow(id, run, wants))
    return { id, attempt: task.attempt }
  }

  #follow(id: string, run: RunningAttempt, { logs, events }: Wants): () => void {
    const queue = this.#queue
    const { attempt } = run.claim.task
    const { progress, log } = run.snapshot()
    if (progress !== null) queue.progress(id, attempt, progress)
    if (logs === true) queue.lines(id, attempt, log)
    // Lines are sent a few times a second, so the snapshot may already hold lines that other watchers get now.
    const lastSeq = log.at(-1)?.seq ?? 0
    return run.watch({
      progress: (latest) => queue.progress(id, attempt, latest),
      log: (line) => {
        if (logs === true && line.seq > lastSeq) queue.lines(id, attempt, [line])
      },
      event: ({ name, data }) => {
        if (events === true) this.#sendWire({ id, attempt, name, data }, (body) => queue.event(body))
      },
      end: (end) => {
        this.#stop(id)
        this.#sendWire({ id, attempt, ...end } as WatchedEnd, (body) => queue.end(body))
      },
    })
  }

  /** Sends ids, dates and bytes as all other messages do. A value that can't be sent must not fail the attempt. */
  #sendWire<Body extends object>(body: Body, send: (body: Body) => void): void {
    try {
      send(toWire(body) as Body)
    } catch (error) {
      this.#parts.log.warn({ err: asError(error) }, 'a message of a task to its watchers could not be encoded')
    }
  }
}
