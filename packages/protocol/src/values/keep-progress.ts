import { UnrecoverableError } from '../fleet-error.ts'
import type { Progress } from '../protocol.ts'
import { keepValue } from './keep-value.ts'

/** Progress as a handler reports it, before the worker adds the time. */
export type ReportedProgress = Omit<Partial<Progress>, 'at'>

const TYPES = { ratio: 'number', done: 'number', total: 'number', unit: 'string', message: 'string' } as const

/**
 * Checks the progress that a handler reports. `ratio` is limited to 0..1, and derived from `done` and `total` if only those
 * are given.
 *
 * @throws {UnrecoverableError} `BAD_PROGRESS`, `PROGRESS_TOO_LARGE`; `field` is the path
 */
export function keepProgress(reported: unknown): ReportedProgress {
  const kept = keepValue(reported, 'progress')
  if (kept === null || Object.getPrototypeOf(kept) !== Object.prototype) {
    throw new UnrecoverableError('BAD_PROGRESS', "'progress' must be an object such as { done: 1, total: 10 }", {
      field: 'progress',
    })
  }
  for (const [field, type] of Object.entries(TYPES)) checkField(kept as Record<string, unknown>, field, type)
  return withRatio(kept as ReportedProgress)
}

function checkField(progress: Record<string, unknown>, field: string, type: 'number' | 'string'): void {
  if (progress[field] === undefined || typeof progress[field] === type) return
  const message = `'progress.${field}' must be a ${type === 'string' ? 'string' : 'number'}`
  throw new UnrecoverableError('BAD_PROGRESS', message, { field: `progress.${field}` })
}

function withRatio(progress: ReportedProgress): ReportedProgress {
  const { done, total, ratio } = progress
  if (ratio !== undefined) return { ...progress, ratio: Math.max(0, Math.min(1, ratio)) }
  if (done === undefined || total === undefined || total <= 0) return progress
  return { ...progress, ratio: Math.max(0, Math.min(1, done / total)) }
}
