import type { QueryRequest } from '@taskfleet/core/protocol'

/** A query of tasks, so that its rows have their type. */
export interface TasksRequest extends QueryRequest {
  collection?: 'tasks'
}

/** What a row of a list needs; the heavy fields stay where they are. */
export const LIST_FIELDS: string[] = [
  'name',
  'version',
  'status',
  'queue',
  'priority',
  'runAt',
  'attempt',
  'failures',
  'lost',
  'maxAttempts',
  'worker',
  'publicUrl',
  'control',
  'progress',
  'error',
  'rev',
  'createdAt',
  'claimedAt',
  'startedAt',
  'finishedAt',
  'updatedAt',
  'deadline',
  'input.file',
  'input.url',
  'input.sha256',
  'output.bytes',
]

const PAGE_FIELDS: string[] = [
  ...LIST_FIELDS.filter((field) => !field.includes('.')),
  'input',
  'output',
  'attempts',
  'attemptsDropped',
  'basePriority',
  'lazy',
  'key',
  'parent',
  'after',
  'replayOf',
  'schedule',
  'event',
  'expireAt',
]

export const WORKERS = { collection: 'workers', sort: { name: 1 }, limit: 200 } as const satisfies QueryRequest

/** The board's lists end here; a count that reaches its limit is shown as "N+". */
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

export function oneTask(id: string): TasksRequest {
  return { filter: { _id: id }, limit: 1, fields: PAGE_FIELDS }
}
