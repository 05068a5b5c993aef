import { DOWNLOAD } from '../view/download-task.ts'
import type { Range } from '../view/range.ts'
import { BOARD_LIMIT, LIST_FIELDS, type TasksRequest } from './queries.ts'

/** How many waiting and failed downloads are counted by origin. */
export const COUNTED = 500
/** What says where a task runs, and how. */
const OF_RUNNING = new Set(['worker', 'host', 'publicUrl', 'progress'])

export const RUNNING_DOWNLOADS: TasksRequest = {
  filter: { status: 'running', name: DOWNLOAD },
  sort: { claimedAt: 1 },
  limit: BOARD_LIMIT,
  fields: LIST_FIELDS,
}

export const WAITING_DOWNLOADS: TasksRequest = {
  filter: { status: { $in: ['pending', 'blocked', 'paused'] }, name: DOWNLOAD },
  sort: { priority: -1, order: 1 },
  limit: COUNTED,
  fields: LIST_FIELDS.filter((field) => !OF_RUNNING.has(field) && field !== 'error'),
}

const MINUTE_MS = 60_000

/** The downloads that failed in a time, the last first. One that ends now moves on by the minute. */
export function failedDownloads({ from, to, name }: Range): TasksRequest {
  const iso = (ms: number): string => new Date(Math.floor(ms / MINUTE_MS) * MINUTE_MS).toISOString()
  const finishedAt = { $gte: iso(from), ...(name === undefined && { $lt: iso(to) }) }
  return {
    filter: { status: 'failed', name: DOWNLOAD, finishedAt },
    sort: { finishedAt: -1 },
    limit: COUNTED,
    fields: [
      ...LIST_FIELDS.filter((field) => !OF_RUNNING.has(field) && field !== 'error'),
      ...['host', 'error.code', 'error.message'],
    ],
  }
}

/** What a strip of segments is drawn from: a few numbers of the checkpoint, without the rest of it. */
export const SEGMENT_FIELDS: readonly string[] = ['checkpoint.bytes', 'checkpoint.ahead', 'checkpoint.total']
