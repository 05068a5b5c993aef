import {
  type CommandAnswer,
  type CommandName,
  type CommandRequest,
  type CoverageRow,
  type EditRequest,
  type EnqueueRequest,
  type Explanation,
  FleetError,
  type HistoryRequest,
  type HistoryRow,
  hasEnded,
  type LogRequest,
  type ReplayRequest,
  type ReprioritiseRequest,
  type StoredLogLine,
  type StoredTask,
  type TaskRow,
  type TaskStatus,
  type WaitingRow,
} from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { reaches, requireReach, visibleTo } from '../auth/reach.ts'
import { driver } from '../database/driver.ts'
import { toFullRow } from '../live/wire.ts'
import { ENDED_STATUSES, OPEN_STATUSES, TRANSITIONS, WAITING_STATUSES } from '../task/lifecycle.ts'
import { type NewTask, parseChanges, parseNewTask } from '../task/new-task.ts'
import { parseId } from '../task/parse-value.ts'
import type { ObjectId, TaskDocument } from '../task/task-document.ts'
import type { Within } from '../task/task-store.ts'
import { Commands } from './commands.ts'
import { coverage } from './coverage.ts'
import { explain } from './explain.ts'
import { history, waitingHistory } from './history.ts'
import { type ListRequest, listTasks, type TaskPage } from './list-tasks.ts'
import { requirePredecessors } from './predecessor-reach.ts'
import { selectTasks } from './selection.ts'
import { checkTasks, requireOwnKey, storedRow, storeTasks } from './store-tasks.ts'

/** How many tasks a command changes at the same time. */
const AT_A_TIME = 50

/** A command's change of one task. Returns the changed task, or null if the change isn't possible. */
type Change = (task: TaskDocument) => Promise<TaskDocument | null>

/** Tasks, within the key's reach. Every change is in the audit log. */
export class TaskCommands extends Commands<
  | 'tasks'
  | 'store'
  | 'batches'
  | 'logs'
  | 'workers'
  | 'queues'
  | 'rates'
  | 'schedules'
  | 'callbacks'
  | 'handlers'
  | 'database'
  | 'rollUps'
  | 'waiting'
> {
  async enqueue(request: EnqueueRequest): Promise<StoredTask> {
    const task = parseNewTask(request)
    requireReach(this.principal, task)
    await requirePredecessors(this.parts.tasks, this.principal, [task])
    await this.parts.handlers.check(task)
    const [stored] = await this.parts.store.enqueue([task])
    requireOwnKey(this.principal, task, stored!)
    return storedRow(this.parts, stored!)
  }

  /** The key's reach as a part of each write's filter, because a task may move to another queue after it was read. */
  get #within(): Within {
    return visibleTo(this.principal)
  }

  /** All or none. @throws {FleetError} `BatchRefused` with a problem for each invalid entry; `TOO_MANY_TASKS` */
  async enqueueMany({ tasks }: { tasks: unknown }): Promise<StoredTask[]> {
    if (!Array.isArray(tasks))
      throw new FleetError('BAD_REQUEST', "'tasks' must be a list of tasks", { field: 'tasks' })
    return (await storeTasks(this.parts, this.principal, checkTasks(this.principal, tasks))).tasks
  }

  /** @throws {FleetError} `BAD_CURSOR`, `QUERY_NOT_INDEXED`, `QUERY_TOO_SLOW`, and what `compileQuery` throws */
  list(request: ListRequest): Promise<TaskPage> {
    return listTasks(this.parts.tasks, this.principal, request)
  }

  cancel(request: CommandRequest): Promise<CommandAnswer> {
    const change: Change = ({ _id }) => this.parts.store.cancel(_id, this.by, request.reason, this.#within)
    return this.#command('cancel', request, OPEN_STATUSES, change, ({ status }) => status === 'cancelled')
  }

  pause(request: CommandRequest): Promise<CommandAnswer> {
    const from = [...TRANSITIONS.pause.from, 'running' as const]
    const change: Change = ({ _id }) => this.parts.store.pause(_id, this.by, request.reason, this.#within)
    return this.#command('pause', request, from, change, ({ status }) => status === 'paused')
  }

  resume(request: CommandRequest): Promise<CommandAnswer> {
    const change: Change = ({ _id }) => this.parts.store.resume(_id, this.#within)
    // If a pause of a running task was only requested, resuming withdraws it, and the task runs on.
    const runs = ({ status, control }: TaskDocument): boolean => status === 'running' && control === undefined
    return this.#command(
      'resume',
      request,
      TRANSITIONS.resume.from,
      change,
      (task) => task.status === 'pending' || runs(task),
    )
  }

  retry(request: CommandRequest): Promise<CommandAnswer> {
    const change: Change = ({ _id }) => this.parts.store.rerun(_id, this.#within)
    const isOpen = ({ status }: TaskDocument): boolean => ['pending', 'running', 'blocked'].includes(status)
    return this.#command('retry', request, TRANSITIONS.rerun.from, change, isOpen)
  }

  reprioritise(request: ReprioritiseRequest): Promise<CommandAnswer> {
    const { priority, position } = request
    const changes = parseChanges(given({ priority, position }))
    const change: Change = ({ _id }) => this.parts.store.edit(_id, changes, undefined, this.#within)
    return this.#command('reprioritise', request, WAITING_STATUSES, change)
  }

  async replay(request: ReplayRequest): Promise<CommandAnswer> {
    if (request.input !== undefined && !('id' in request)) {
      throw new FleetError('BAD_REQUEST', "A new 'input' is allowed only with a single 'id'", { field: 'input' })
    }
    const made: string[] = []
    const answer = await this.#command('replay', request, ENDED_STATUSES, async (task) => {
      if (!(await this.parts.handlers.mayReplay(task))) {
        throw new FleetError('REPLAY_NOT_ALLOWED', `Tasks named '${task.name}' may not be replayed`)
      }
      const again = replayOf(task, request.input)
      if (request.input !== undefined) await this.parts.handlers.check(again)
      await this.parts.store.enqueue([again])
      made.push(again._id.toHexString())
      return task
    })
    return request.dryRun === true ? answer : { ...answer, tasks: made.sort() }
  }

  async edit({ id, rev, changes, reason }: EditRequest): Promise<TaskRow> {
    const task = await this.#task(id)
    if (rev !== undefined && !(Number.isInteger(rev) && rev >= 1)) {
      throw new FleetError('OUT_OF_RANGE', "'rev' must be a whole number from 1", { field: 'rev' })
    }
    const parsed = parseChanges(changes)
    requireReach(this.principal, { name: task.name, queue: parsed.queue ?? task.queue })
    await requirePredecessors(this.parts.tasks, this.principal, [parsed])
    if (parsed.input !== undefined) {
      const { name, version, queue } = task
      await this.parts.handlers.check({ name, version, queue, input: parsed.input })
    }
    const edited = await this.parts.store.edit(task._id, parsed, rev, this.#within)
    if (edited !== null) {
      await this.record('edit', { tasks: [task._id], reason })
      return toFullRow<TaskRow>('tasks', edited)
    }
    const now = await this.#task(id)
    if (now.status === 'running' || hasEnded(now.status)) {
      throw new FleetError('NOT_WAITING', `Only a waiting task can be changed; this one ${stateOf(now.status)}`)
    }
    throw new FleetError('REV_CONFLICT', `The task was changed in the meantime and is at revision ${now.rev}`, {
      field: 'rev',
    })
  }

  /** With its input, output and attempts. @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
  async show({ id }: { id: string }): Promise<TaskRow> {
    return toFullRow<TaskRow>('tasks', await this.#task(id))
  }

  /** An ended task with its log lines. @throws {FleetError} as `show`; `NOT_ENDED`, `AWAITED` */
  async remove({ id }: { id: string }): Promise<void> {
    const { _id, status } = await this.#task(id)
    if (!hasEnded(status))
      throw new FleetError('NOT_ENDED', `Only an ended task can be removed; this one is ${status}. Cancel it first`)
    const { tasks, store, logs } = this.parts
    const waiting = await tasks.findOne({ after: _id, status: 'blocked' }, { projection: { _id: 1 } })
    if (waiting !== null) {
      throw new FleetError(
        'AWAITED',
        `The task ${waiting._id.toHexString()} waits for this one. Cancel it or edit its 'after' first`,
      )
    }
    if (!(await store.remove(_id, this.#within)))
      throw new FleetError('NOT_ENDED', 'The task was retried or removed in the meantime')
    await logs.remove([_id])
    await this.record('remove', { tasks: [_id] })
  }

  async explain({ id }: { id: string }): Promise<Explanation> {
    const { tasks, workers, queues, rates, database } = this.parts
    const now = database.clock.now()
    const mayShow = (task: { queue: string; name: string }): boolean => reaches(this.principal, task)
    return explain(await this.#task(id), { tasks, workers, queues, rates, now, mayShow })
  }

  /** By queue, name and version; includes the tasks that schedules and callbacks will make. */
  async coverage(): Promise<CoverageRow[]> {
    const { tasks, workers, schedules, callbacks, database } = this.parts
    const [live, planned, listening] = await Promise.all([
      workers.live(),
      schedules.list(visibleTo(this.principal, 'schedules')),
      callbacks.list(),
    ])
    const mine = listening.filter(({ task: name, defaults }) =>
      reaches(this.principal, { name, queue: defaults.queue ?? 'default' }),
    )
    const targets = { schedules: planned, callbacks: mine }
    return coverage(tasks as never, live, targets, database.clock.now(), visibleTo(this.principal))
  }

  /** @throws {FleetError} `BAD_DATE`, `BAD_VALUE`, `OUT_OF_RANGE`, `TOO_BIG`, `QUERY_TOO_SLOW` */
  history(request: HistoryRequest = {}): Promise<HistoryRow[]> {
    return history(this.parts.rollUps, this.principal, request, this.parts.database.clock.now())
  }

  /** As `history`. */
  waiting(request: HistoryRequest = {}): Promise<WaitingRow[]> {
    return waitingHistory(this.parts.waiting, this.principal, request, this.parts.database.clock.now())
  }

  async log(request: LogRequest): Promise<StoredLogLine[]> {
    const { _id } = await this.#task(request.id)
    return this.parts.logs.read(_id, request)
  }

  /** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
  async #task(id: string): Promise<TaskDocument> {
    const task = await this.parts.store.find(parseId(id))
    if (task === null) throw new FleetError('NOT_FOUND', `There is no task ${id}`, { field: 'id' })
    requireReach(this.principal, task)
    return task
  }

  /**
   * Changes every selected task and returns the result.
   *
   * @param from the statuses in which the change is possible
   * @param done whether a task already has the wanted state, which is not an error
   */
  async #command(
    action: CommandName,
    request: CommandRequest,
    from: readonly TaskStatus[],
    change: Change,
    done: (task: TaskDocument) => boolean = () => false,
  ): Promise<CommandAnswer> {
    const filtered = action === 'resume' ? RESUMABLE : { status: { $in: [...from] } }
    const selected = await selectTasks(this.parts.tasks, this.principal, request, filtered)
    const answer: CommandAnswer = { matched: selected.length, changed: 0, refused: [] }
    if (request.dryRun === true) return answer
    const changed: ObjectId[] = []
    for (let at = 0; at < selected.length; at += AT_A_TIME) {
      await Promise.all(
        selected.slice(at, at + AT_A_TIME).map(async (task) => {
          const refusal = await this.#changeOne(action, task, from, change, done)
          if (refusal === null) changed.push(task._id)
          else if (refusal !== 'done') answer.refused.push({ id: task._id.toHexString(), error: refusal })
        }),
      )
    }
    answer.changed = changed.length
    const { reason } = request
    const filter = 'filter' in request ? { filter: request.filter } : {}
    await this.record(action, { tasks: changed, matched: selected.length, changed: changed.length, reason, ...filter })
    return answer
  }

  /** Returns null when the task was changed, and `done` when there was nothing to change. */
  async #changeOne(
    action: CommandName,
    task: TaskDocument,
    from: readonly TaskStatus[],
    change: Change,
    done: (task: TaskDocument) => boolean,
  ): Promise<{ code: string; message: string } | 'done' | null> {
    if (action === 'replay' && !from.includes(task.status)) {
      return { code: 'NOT_ENDED', message: `Only an ended task can be replayed; this one ${stateOf(task.status)}` }
    }
    try {
      if ((await change(task)) !== null) return null
    } catch (error) {
      if (error instanceof FleetError) return { code: error.code, message: error.message }
      throw error
    }
    const now = await this.parts.store.find(task._id)
    if (now === null) return { code: 'NOT_FOUND', message: 'The task no longer exists' }
    if (done(now)) return 'done'
    return refusalOf(action, now.status)
  }
}

const RESUMABLE = { $or: [{ status: 'paused' }, { status: 'running', 'control.action': 'pause' }] }

const stateOf = (status: TaskStatus): string => (hasEnded(status) ? `has ${status}` : `is ${status}`)

function refusalOf(action: CommandName, status: TaskStatus): { code: string; message: string } {
  const message = `It ${stateOf(status)}`
  if (action === 'retry') return { code: status === 'completed' ? 'ALREADY_COMPLETED' : 'NOT_ENDED', message }
  if (hasEnded(status)) return { code: 'ALREADY_ENDED', message }
  if (action === 'resume') return { code: 'NOT_PAUSED', message }
  return { code: 'NOT_WAITING', message }
}

/** A new task like the given one, as it was first requested. */
function replayOf(task: TaskDocument, input: unknown): NewTask {
  const asked = parseNewTask({ name: task.name, input: input === undefined ? {} : input })
  const { key, retry, timeout, totalTimeout, stall } = task
  return {
    ...asked,
    _id: new driver.ObjectId(),
    version: task.version,
    input: input === undefined ? task.input : asked.input,
    queue: task.queue,
    priority: task.basePriority,
    lazy: task.lazy,
    maxAttempts: task.maxAttempts,
    replayOf: task._id,
    ...given({ key, retry, timeout, totalTimeout, stall }),
  }
}
