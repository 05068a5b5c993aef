import type { FleetControl } from '@taskfleet/protocol'
import {
  type AuditEntry,
  type CommandAnswer,
  type CommandName,
  type CommandRequest,
  type CoverageRow,
  type EditRequest,
  type EnqueueRequest,
  type ErrorRow,
  type ErrorState,
  type Explanation,
  FleetError,
  hasEnded,
  type QueueLimits,
  type QueueRow,
  type ReplayRequest,
  type ReprioritiseRequest,
  type StoredLogLine,
  type TaskRow,
  type TaskStatus,
} from '@taskfleet/protocol'
import { pageSize } from '@taskfleet/protocol/internal'
import { mongo } from 'mongoose'
import { type Principal, reaches, requireReach, visibleTo } from '../auth/key-store.ts'
import type { Fleet } from '../fleet.ts'
import { toFullRow, toRow } from '../live/wire.ts'
import type { Budget } from '../task/budget.ts'
import { ENDED_STATUSES, OPEN_STATUSES, TRANSITIONS, WAITING_STATUSES } from '../task/lifecycle.ts'
import { type NewTask, parseChanges, parseDate, parseId, parseNewTask, parseQueue } from '../task/new-task.ts'
import type { ObjectId, TaskDocument } from '../task/task-document.ts'
import { coverage } from './coverage.ts'
import { explain } from './explain.ts'
import { requirePredecessors } from './predecessor-reach.ts'
import { limitsText } from './queue-limits.ts'
import { selectTasks } from './selection.ts'

/** How many tasks of a command are changed at a time. */
const AT_A_TIME = 50
const MOST_LINES = 2_000
const MOST_ENTRIES = 1_000

/** What a command does to one task: the task as it is then, or null when it can't be done. */
type Change = (task: TaskDocument) => Promise<TaskDocument | null>

/** What a fleet does for somebody: everything is within what the key may touch, and on record. */
export class FleetCommands implements FleetControl {
  readonly #fleet: Fleet
  readonly #principal: Principal

  constructor(fleet: Fleet, principal: Principal) {
    this.#fleet = fleet
    this.#principal = principal
  }

  async enqueue(request: EnqueueRequest): Promise<TaskRow> {
    const task = parseNewTask(request)
    requireReach(this.#principal, task)
    await requirePredecessors(this.#fleet.tasks, this.#principal, [task])
    const [stored] = await this.#fleet.store.enqueue([task])
    requireReach(this.#principal, stored!)
    return toFullRow<TaskRow>('tasks', stored!)
  }

  cancel(request: CommandRequest): Promise<CommandAnswer> {
    const { store } = this.#fleet
    return this.#command('cancel', request, OPEN_STATUSES, ({ _id }) => store.cancel(_id, this.#by, request.reason), {
      done: ({ status }) => status === 'cancelled',
    })
  }

  pause(request: CommandRequest): Promise<CommandAnswer> {
    const { store } = this.#fleet
    const from = [...TRANSITIONS.pause.from, 'running' as const]
    return this.#command('pause', request, from, ({ _id }) => store.pause(_id, this.#by, request.reason), {
      done: ({ status }) => status === 'paused',
    })
  }

  resume(request: CommandRequest): Promise<CommandAnswer> {
    return this.#command('resume', request, TRANSITIONS.resume.from, ({ _id }) => this.#fleet.store.resume(_id), {
      // One that was only asked to pause goes on as if nothing had been said.
      done: ({ status, control }) => status === 'pending' || (status === 'running' && control === undefined),
    })
  }

  retry(request: CommandRequest): Promise<CommandAnswer> {
    return this.#command('retry', request, TRANSITIONS.rerun.from, ({ _id }) => this.#fleet.store.rerun(_id), {
      done: ({ status }) => status === 'pending' || status === 'running' || status === 'blocked',
    })
  }

  reprioritise(request: ReprioritiseRequest): Promise<CommandAnswer> {
    const { priority, position } = request
    const changes = parseChanges({
      ...(priority === undefined ? {} : { priority }),
      ...(position === undefined ? {} : { position }),
    })
    const change: Change = ({ _id }) => this.#fleet.store.edit(_id, changes)
    return this.#command('reprioritise', request, WAITING_STATUSES, change)
  }

  async replay(request: ReplayRequest): Promise<CommandAnswer> {
    if (request.input !== undefined && !('id' in request)) {
      throw new FleetError('BAD_REQUEST', "Another 'input' is for the one task that 'id' names", { field: 'input' })
    }
    const made: string[] = []
    const answer = await this.#command('replay', request, ENDED_STATUSES, async (task) => {
      const again = replayOf(task, request.input)
      await this.#fleet.store.enqueue([again])
      made.push(again._id.toHexString())
      return task
    })
    return request.dryRun === true ? answer : { ...answer, tasks: made.sort() }
  }

  async edit({ id, rev, changes, reason }: EditRequest): Promise<TaskRow> {
    const task = await this.#task(id)
    if (rev !== undefined && !(Number.isInteger(rev) && rev >= 1)) {
      throw new FleetError('OUT_OF_RANGE', "'rev' is a whole number from 1", { field: 'rev' })
    }
    const parsed = parseChanges(changes)
    requireReach(this.#principal, { name: task.name, queue: parsed.queue ?? task.queue })
    await requirePredecessors(this.#fleet.tasks, this.#principal, [parsed])
    const edited = await this.#fleet.store.edit(task._id, parsed, rev)
    if (edited !== null) {
      await this.#record('edit', { tasks: [task._id], reason })
      return toFullRow<TaskRow>('tasks', edited)
    }
    const now = await this.#task(id)
    if (now.status === 'running' || hasEnded(now.status)) {
      throw new FleetError('NOT_WAITING', `Only a task that waits can be changed; this one ${stateOf(now.status)}`)
    }
    throw new FleetError('REV_CONFLICT', `It was changed meanwhile and is at revision ${now.rev}`, { field: 'rev' })
  }

  /** With its input, output and attempts. @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
  async show(id: string): Promise<TaskRow> {
    return toFullRow<TaskRow>('tasks', await this.#task(id))
  }

  /** An ended task with its log lines. @throws {FleetError} as `show`; `NOT_ENDED`, `AWAITED` */
  async remove(id: string): Promise<void> {
    const { _id, status } = await this.#task(id)
    if (!hasEnded(status))
      throw new FleetError('NOT_ENDED', `Only an ended task can be removed; this one is ${status}: cancel it first`)
    const { tasks, store, logs } = this.#fleet
    const waiting = await tasks.findOne({ after: _id, status: 'blocked' }, { projection: { _id: 1 } })
    if (waiting !== null) {
      throw new FleetError(
        'AWAITED',
        `The task ${waiting._id.toHexString()} waits for this one: cancel it, or edit its 'after' first`,
      )
    }
    if (!(await store.remove(_id))) throw new FleetError('NOT_ENDED', 'It runs again or is gone')
    await logs.remove([_id])
    await this.#record('remove', { tasks: [_id] })
  }

  async explain(id: string): Promise<Explanation> {
    const { tasks, workers, queues, rates, database } = this.#fleet
    const now = database.clock.now()
    const mayShow = (task: { queue: string; name: string }): boolean => reaches(this.#principal, task)
    return explain(await this.#task(id), { tasks, workers, queues, rates, now, mayShow })
  }

  coverage(): Promise<CoverageRow[]> {
    const { tasks, workers, database } = this.#fleet
    return coverage(tasks as never, workers, database.clock.now(), visibleTo(this.#principal))
  }

  async taskLog(request: Parameters<FleetControl['taskLog']>[0]): Promise<StoredLogLine[]> {
    const { _id } = await this.#task(request.id)
    const { attempt, before, limit } = request
    return this.#fleet.logs.read(_id, {
      ...(attempt === undefined ? {} : { attempt }),
      ...(before === undefined ? {} : { before }),
      ...(limit === undefined ? {} : { limit: pageSize(limit, MOST_LINES) }),
    })
  }

  async audit({ id, limit = 100 }: { id?: string; limit?: number } = {}): Promise<AuditEntry[]> {
    const most = pageSize(limit, MOST_ENTRIES)
    if (id !== undefined) return this.#fleet.audit.list({ task: (await this.#task(id))._id, limit: most })
    this.#requireUnlimited('the whole audit log')
    return this.#fleet.audit.list({ limit: most })
  }

  async markError(request: { fingerprint: string; state: ErrorState; until?: string }): Promise<ErrorRow> {
    this.#requireUnlimited('errors')
    const { fingerprint, state, until } = request
    const marked = await this.#fleet.errors.mark(
      fingerprint,
      state,
      this.#by,
      until === undefined ? undefined : parseDate(until, 'until'),
    )
    await this.#record(`error ${state}`, { target: fingerprint, changed: 1 })
    return toRow<ErrorRow>('errors', marked as never)
  }

  async controlWorker({ worker, action }: { worker: string; action: 'drain' | 'resume' }): Promise<void> {
    this.#requireUnlimited('workers')
    if ((await this.#fleet.workers.ask(worker, action, this.#by)) === null) {
      throw new FleetError('NOT_FOUND', 'There is no such worker, or it has stopped', { field: 'worker' })
    }
    await this.#record(`worker ${action}`, { target: worker, changed: 1 })
  }

  async controlQueue({ queue, action, reason }: Parameters<FleetControl['controlQueue']>[0]): Promise<QueueRow> {
    const name = parseQueue(queue)
    if (this.#principal.names !== undefined) this.#requireUnlimited('queues')
    requireReach(this.#principal, { queue: name, name: '' })
    const changed = await this.#fleet.queues.setPaused(name, action === 'pause', this.#by, reason)
    await this.#record(`queue ${action}`, { target: name, changed: 1, reason })
    return toRow<QueueRow>('queues', changed as never)
  }

  /**
   * How many tasks of a queue may run at once, start within a time, and wait; what is null is taken away.
   * @throws {FleetError} `BAD_QUEUE`, `OUT_OF_RANGE`, `BAD_DURATION`, `QUEUE_NOT_ALLOWED`, `FORBIDDEN`
   */
  async limitQueue(queue: string, limits: QueueLimits): Promise<QueueRow> {
    const name = parseQueue(queue)
    if (this.#principal.names !== undefined) this.#requireUnlimited('queues')
    requireReach(this.#principal, { queue: name, name: '' })
    const changed = await this.#fleet.queues.setLimits(name, limits, this.#by)
    await this.#record('queue limit', { target: name, changed: 1, reason: limitsText(limits) })
    return toRow<QueueRow>('queues', changed as never)
  }

  get #by(): string {
    return this.#principal.id
  }

  /** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
  async #task(id: string): Promise<TaskDocument> {
    const task = await this.#fleet.store.find(parseId(id))
    if (task === null) throw new FleetError('NOT_FOUND', 'There is no such task', { field: 'id' })
    requireReach(this.#principal, task)
    return task
  }

  /** What isn't of one queue or name is not for keys that are limited to some. @throws {FleetError} `FORBIDDEN` */
  #requireUnlimited(what: string): void {
    const { queues, names } = this.#principal
    if (queues === undefined && names === undefined) return
    throw new FleetError('FORBIDDEN', `A key that is limited to queues or names may not touch ${what}`)
  }

  async #record(action: string, deed: Omit<Parameters<Fleet['audit']['record']>[0], 'by' | 'action'>): Promise<void> {
    await this.#fleet.audit.record({ by: this.#by, action, ...deed })
  }

  /**
   * Does something to every task that is meant, and says what came of it.
   *
   * @param from the statuses in which it can be done
   * @param done whether a task already is as the command wants it, which is no fault
   */
  async #command(
    action: CommandName,
    request: CommandRequest,
    from: readonly TaskStatus[],
    change: Change,
    { done = () => false }: { done?: (task: TaskDocument) => boolean } = {},
  ): Promise<CommandAnswer> {
    const filtered = action === 'resume' ? RESUMABLE : { status: { $in: [...from] } }
    const selected = await selectTasks(this.#fleet.tasks, this.#principal, request, filtered)
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
    await this.#record(action, { tasks: changed, matched: selected.length, changed: changed.length, reason, ...filter })
    return answer
  }

  /** Null when it was changed, `done` when there was nothing to change. */
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
    const now = await this.#fleet.store.find(task._id)
    if (now === null) return { code: 'NOT_FOUND', message: 'It is gone' }
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

/** The same task once more, as it was asked for at first. */
function replayOf(task: TaskDocument, input: unknown): NewTask {
  const asked = parseNewTask({ name: task.name, input: input === undefined ? {} : input })
  return {
    ...asked,
    _id: new mongo.ObjectId(),
    version: task.version,
    input: input === undefined ? task.input : asked.input,
    queue: task.queue,
    priority: task.basePriority,
    lazy: task.lazy,
    maxAttempts: task.maxAttempts,
    ...ownBudget(task),
    replayOf: task._id,
    ...(task.key === undefined ? {} : { key: task.key }),
  }
}

/** What the task says of its own budget goes with it. */
function ownBudget({ retry, timeout, totalTimeout, stall }: TaskDocument): Budget {
  return {
    ...(retry === undefined ? {} : { retry }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(totalTimeout === undefined ? {} : { totalTimeout }),
    ...(stall === undefined ? {} : { stall }),
  }
}
