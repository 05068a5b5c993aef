import { type CommandName, FleetError, hasEnded, type TaskStatus } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { driver } from '../database/driver.ts'
import type { Fleet } from '../fleet.ts'
import { ENDED_STATUSES, OPEN_STATUSES, TRANSITIONS, WAITING_STATUSES } from '../task/lifecycle.ts'
import { type NewTask, parseChanges, parseNewTask } from '../task/new-task.ts'
import type { ObjectId, TaskDocument } from '../task/task-document.ts'
import type { Within } from '../task/task-store.ts'

/** What a command's change of a task depends on. */
type TaskState = Pick<TaskDocument, 'status' | 'control'>

/** How a command changes tasks, one by one. */
export interface TaskChange {
  /** Narrows a filter to the tasks that the command can change. */
  readonly filtered: Record<string, unknown>
  /** Whether the command can change a task now. */
  possible(task: TaskState): boolean
  /** Whether a task has the wanted state already, which is not an error. */
  done(task: TaskState): boolean
  /**
   * The guarded write. Null if it isn't possible.
   *
   * @param within part of the write's filter
   * @throws {FleetError} if the task is refused
   */
  write(task: TaskDocument, within: Within): Promise<TaskDocument | null>
}

export interface ChangeOptions {
  by: string
  reason?: string | undefined
  priority?: unknown
  position?: unknown
  /** Of a replay: the input of the new task. */
  input?: unknown
  /** Of a replay: the id of the new task, so that a repeated call makes none again. */
  idOf?: (task: TaskDocument) => ObjectId
  /** Of a replay: called with each new task. */
  onMade?: (id: ObjectId) => void
}

type Parts = Pick<Fleet, 'store' | 'handlers'>

/** @throws {FleetError} what `parseChanges` throws, for `reprioritise` */
export function taskChange({ store, handlers }: Parts, command: CommandName, options: ChangeOptions): TaskChange {
  const { by, reason, input } = options
  switch (command) {
    case 'cancel':
      return {
        ...from(OPEN_STATUSES),
        done: ({ status }) => status === 'cancelled',
        write: ({ _id }, within) => store.cancel(_id, by, reason, within),
      }
    case 'pause':
      return {
        ...from([...TRANSITIONS.pause.from, 'running']),
        done: ({ status }) => status === 'paused',
        write: ({ _id }, within) => store.pause(_id, by, reason, within),
      }
    case 'resume':
      return {
        filtered: { $or: [{ status: 'paused' }, { status: 'running', 'control.action': 'pause' }] },
        possible: ({ status, control }) => status === 'paused' || (status === 'running' && control?.action === 'pause'),
        // If a pause of a running task was only requested, resuming withdraws it, and the task runs on.
        done: ({ status, control }) => status === 'pending' || (status === 'running' && control === undefined),
        write: ({ _id }, within) => store.resume(_id, within),
      }
    case 'retry':
      return {
        ...from(TRANSITIONS.rerun.from),
        done: ({ status }) => ['pending', 'running', 'blocked'].includes(status),
        write: ({ _id }, within) => store.rerun(_id, within),
      }
    case 'reprioritise': {
      const { priority, position } = options
      const changes = parseChanges(given({ priority, position }))
      return {
        ...from(WAITING_STATUSES),
        done: () => false,
        write: ({ _id }, within) => store.edit(_id, changes, undefined, within),
      }
    }
    case 'replay':
      return {
        ...from(ENDED_STATUSES),
        done: () => false,
        async write(task) {
          if (!(await handlers.mayReplay(task))) {
            throw new FleetError('REPLAY_NOT_ALLOWED', `Tasks named '${task.name}' may not be replayed`)
          }
          const again = replayOf(task, input, options.idOf?.(task))
          if (input !== undefined) await handlers.check(again)
          await store.enqueue([again])
          options.onMade?.(again._id)
          return task
        },
      }
  }
}

const from = (statuses: readonly TaskStatus[]): Pick<TaskChange, 'filtered' | 'possible'> => ({
  filtered: { status: { $in: [...statuses] } },
  possible: ({ status }) => statuses.includes(status),
})

/** A new task like the given one, as it was first requested. */
function replayOf(task: TaskDocument, input: unknown, _id: ObjectId = new driver.ObjectId()): NewTask {
  const asked = parseNewTask({ name: task.name, input: input === undefined ? {} : input })
  const { key, retry, timeout, totalTimeout, stall } = task
  return {
    ...asked,
    _id,
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

export function stateOf(status: TaskStatus): string {
  if (status === 'cancelled') return 'was cancelled'
  return hasEnded(status) ? `has ${status}` : `is ${status}`
}

/** Why a command can't change a task. */
export interface TaskRefusal {
  code: string
  message: string
}

export function refusalOf(command: CommandName, status: TaskStatus): TaskRefusal {
  const message = `It ${stateOf(status)}`
  if (command === 'replay') {
    return { code: 'NOT_ENDED', message: `Only an ended task can be replayed; this one ${stateOf(status)}` }
  }
  if (command === 'retry') return { code: status === 'completed' ? 'ALREADY_COMPLETED' : 'NOT_ENDED', message }
  if (hasEnded(status)) return { code: 'ALREADY_ENDED', message }
  if (command === 'resume') return { code: 'NOT_PAUSED', message }
  return { code: 'NOT_WAITING', message }
}
