import type { ErrorState, QueryRequest } from '@taskfleet/protocol'
import { LIST_FIELDS } from '@taskfleet/react/internal'

export { LIST_FIELDS, WORKERS } from '@taskfleet/react/internal'

/** A query of tasks, so that its rows have their type. */
export interface TasksRequest extends QueryRequest {
  collection?: 'tasks'
}

interface ErrorsRequest extends QueryRequest {
  collection: 'errors'
}

const PAGE_FIELDS: string[] = [
  ...LIST_FIELDS.filter((field) => !field.includes('.')),
  'input',
  'output',
  'attempts',
  'attemptsDropped',
  'retry',
  'timeout',
  'totalTimeout',
  'stall',
  'lazy',
  'key',
  'parent',
  'after',
  'ifFailed',
  'replayOf',
  'schedule',
  'event',
  'expireAt',
]

/** The limit of the board's lists; its counts come from the statistics. */
export const BOARD_LIMIT = 200

export const RUNNING: TasksRequest = {
  filter: { status: 'running' },
  sort: { claimedAt: 1 },
  limit: BOARD_LIMIT,
  fields: LIST_FIELDS,
}

export const NEXT_UP: TasksRequest = {
  filter: { status: { $in: ['pending', 'blocked', 'paused'] } },
  sort: { priority: -1, order: 1 },
  limit: BOARD_LIMIT,
  fields: LIST_FIELDS,
}

export const ENDED: TasksRequest = {
  filter: { status: { $in: ['completed', 'failed', 'cancelled'] } },
  sort: { finishedAt: -1 },
  limit: 100,
  fields: LIST_FIELDS,
}

/** A page about one queue or host shows a few of its tasks, and links to the list. */
const FEW = 6

/** The running tasks of a queue that run longest. */
export function runningIn(queue: string): TasksRequest {
  return { filter: { status: 'running', queue }, sort: { claimedAt: 1 }, limit: FEW, fields: LIST_FIELDS }
}

/** The next tasks of a queue. */
export function nextIn(queue: string): TasksRequest {
  return {
    filter: { status: { $in: ['pending', 'blocked', 'paused'] }, queue },
    sort: { priority: -1, order: 1 },
    limit: 2 * FEW,
    fields: LIST_FIELDS,
  }
}

/** The running tasks of a host, by the ids of its workers. */
export function runningOn(workers: readonly string[]): TasksRequest {
  // A list without ids is refused, and no worker has an empty one.
  const worker = { $in: workers.length > 0 ? [...workers] : [''] }
  return { filter: { status: 'running', worker }, sort: { claimedAt: 1 }, limit: BOARD_LIMIT, fields: LIST_FIELDS }
}

/** The latest tasks that ended on a host in a time, in milliseconds. */
export function endedOn(host: string, from: number, to: number): TasksRequest {
  const time = { $gte: new Date(from).toISOString(), $lte: new Date(to).toISOString() }
  return { filter: { host, finishedAt: time }, sort: { finishedAt: -1 }, limit: 2 * FEW, fields: LIST_FIELDS }
}

/** Error groups of one state; the navigation's count of open ones uses the same query. */
export function errorsOf(state: ErrorState): ErrorsRequest {
  return { collection: 'errors', filter: { state }, sort: { lastSeenAt: -1 }, limit: ERROR_LIMIT }
}
export const ERROR_LIMIT = 100

/** The group of one fingerprint. */
export function oneError(fingerprint: string): ErrorsRequest {
  return { collection: 'errors', filter: { _id: fingerprint }, limit: 1 }
}

/** The tasks that ended with an error. Attempts that were tried again are not among them. */
export function failedWith(fingerprint: string, from: string, to: string | undefined): Record<string, unknown> {
  const finishedAt = { $gte: from, ...(to !== undefined && { $lt: to }) }
  return { 'error.fingerprint': fingerprint, status: 'failed', finishedAt }
}
export const ERROR_TASKS_LIMIT = 200

/** The tasks that match, the latest to end first. */
export function endedTasks(filter: Record<string, unknown>): TasksRequest {
  return { filter, sort: { finishedAt: -1 }, limit: ERROR_TASKS_LIMIT, fields: LIST_FIELDS }
}

export const QUEUES = { collection: 'queues', sort: { _id: 1 }, limit: 500 } as const satisfies QueryRequest

export const SCHEDULES = { collection: 'schedules', sort: { _id: 1 }, limit: 500 } as const satisfies QueryRequest

const RUNS_SHOWN = 30

/** The last tasks of a schedule, the newest first. */
export function runsOf(schedule: string): TasksRequest {
  const fields = ['status', 'runAt', 'claimedAt', 'startedAt', 'finishedAt']
  return { filter: { schedule }, sort: { _id: -1 }, limit: RUNS_SHOWN, fields }
}

export const DEPENDANTS_SHOWN = 50
const RELATED_FIELDS: string[] = ['name', 'title', 'status', 'control', 'createdAt', 'runAt', 'startedAt', 'finishedAt']

/** The tasks that wait for one, or have waited for it, the oldest first. */
export function dependantsOf(id: string): TasksRequest {
  return {
    filter: { after: id },
    sort: { createdAt: 1 },
    limit: DEPENDANTS_SHOWN,
    fields: RELATED_FIELDS,
  }
}

/** The tasks of these ids. */
export function statusesOf(ids: readonly string[]): TasksRequest {
  return { filter: { _id: { $in: [...ids] } }, limit: Math.max(1, ids.length), fields: RELATED_FIELDS }
}

/** The watched tasks, with what a notification of their end shows. */
export function watchedTasks(ids: readonly string[]): TasksRequest {
  return {
    filter: { _id: { $in: [...ids] } },
    limit: Math.max(1, ids.length),
    fields: ['status', 'name', 'title', 'error'],
  }
}

export function oneTask(id: string): TasksRequest {
  return { filter: { _id: id }, limit: 1, fields: PAGE_FIELDS }
}
