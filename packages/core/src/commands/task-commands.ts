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
  type WaitingRow,
} from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { reaches, requireReach, visibleTo } from '../auth/reach.ts'
import { toFullRow } from '../live/wire.ts'
import { parseChanges, parseNewTask } from '../task/new-task.ts'
import { parseId } from '../task/parse-value.ts'
import type { ObjectId, TaskDocument } from '../task/task-document.ts'
import type { Within } from '../task/task-store.ts'
import { Commands } from './commands.ts'
import { coverage } from './coverage.ts'
import { explain } from './explain.ts'
import { history, waitingHistory } from './history.ts'
import { type ListRequest, listTasks, type TaskPage } from './list-tasks.ts'
import { requirePredecessors } from './predecessor-reach.ts'
import { selectIds, selectTasks } from './selection.ts'
import { checkTasks, requireOwnKey, storedRow, storeTasks } from './store-tasks.ts'
import { type ChangeOptions, refusalOf, stateOf, type TaskChange, type TaskRefusal, taskChange } from './task-change.ts'

/** How many tasks a command changes at the same time. */
const AT_A_TIME = 50

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
    return this.#command('cancel', request)
  }

  pause(request: CommandRequest): Promise<CommandAnswer> {
    return this.#command('pause', request)
  }

  resume(request: CommandRequest): Promise<CommandAnswer> {
    return this.#command('resume', request)
  }

  retry(request: CommandRequest): Promise<CommandAnswer> {
    return this.#command('retry', request)
  }

  reprioritise(request: ReprioritiseRequest): Promise<CommandAnswer> {
    return this.#command('reprioritise', request)
  }

  async replay(request: ReplayRequest): Promise<CommandAnswer> {
    if (request.input !== undefined && !('id' in request)) {
      throw new FleetError('BAD_REQUEST', "A new 'input' is allowed only with a single 'id'", { field: 'input' })
    }
    const made: string[] = []
    const answer = await this.#command('replay', request, (id) => void made.push(id.toHexString()))
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

  /** Changes every selected task and returns the result. */
  async #command(
    command: CommandName,
    request: CommandRequest & Pick<ChangeOptions, 'priority' | 'position' | 'input'>,
    onMade?: (id: ObjectId) => void,
  ): Promise<CommandAnswer> {
    const { reason, priority, position, input } = request
    const change = taskChange(this.parts, command, {
      by: this.by,
      ...given({ reason, priority, position, input, onMade }),
    })
    if (request.dryRun === true && 'filter' in request) {
      const ids = await selectIds(this.parts.tasks, this.principal, request, change.filtered)
      return { matched: ids.length, changed: 0, refused: [] }
    }
    const selected = await selectTasks(this.parts.tasks, this.principal, request, change.filtered)
    const answer: CommandAnswer = { matched: selected.length, changed: 0, refused: [] }
    if (request.dryRun === true) return answer
    const changed: ObjectId[] = []
    for (let at = 0; at < selected.length; at += AT_A_TIME) {
      await Promise.all(
        selected.slice(at, at + AT_A_TIME).map(async (task) => {
          const refusal = await this.#changeOne(command, task, change)
          if (refusal === null) changed.push(task._id)
          else if (refusal !== 'done') answer.refused.push({ id: task._id.toHexString(), error: refusal })
        }),
      )
    }
    answer.changed = changed.length
    const filter = 'filter' in request ? { filter: request.filter } : {}
    await this.record(command, { tasks: changed, matched: selected.length, changed: changed.length, reason, ...filter })
    return answer
  }

  /** Returns null when the task was changed, and `done` when there was nothing to change. */
  async #changeOne(command: CommandName, task: TaskDocument, change: TaskChange): Promise<TaskRefusal | 'done' | null> {
    if (command === 'replay' && !change.possible(task)) return refusalOf(command, task.status)
    try {
      if ((await change.write(task, this.#within)) !== null) return null
    } catch (error) {
      if (error instanceof FleetError) return { code: error.code, message: error.message }
      throw error
    }
    const now = await this.parts.store.find(task._id)
    if (now === null) return { code: 'NOT_FOUND', message: 'The task no longer exists' }
    return change.done(now) ? 'done' : refusalOf(command, now.status)
  }
}
