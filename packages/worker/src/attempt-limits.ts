import type { TaskDocument } from '@taskfleet/core'
import { type BackoffPolicy, backoffPolicy, LIMIT_RANGE } from '@taskfleet/core/internal'
import type { FailureCounts } from '@taskfleet/protocol'
import type { TaskFactory } from './task-factory.ts'

/** The time limits and the retry rules of an attempt. Times in milliseconds; undefined for no limit. */
export interface AttemptLimits {
  timeoutMs: number | undefined
  totalTimeoutMs: number | undefined
  stallMs: number | undefined
  backoff: BackoffPolicy
  decay: boolean
  counts: FailureCounts
}

type OwnBudget = Pick<TaskDocument, 'retry' | 'timeout' | 'totalTimeout' | 'stall'>
type HandlersBudget = Pick<TaskFactory, 'timeoutMs' | 'totalTimeoutMs' | 'stallMs' | 'backoff' | 'decay' | 'counts'>

/** A task's own limits override those of its handler. */
export function limitsOf(task: OwnBudget, handler: HandlersBudget): AttemptLimits {
  const { backoff, decay, counts } = task.retry ?? {}
  return {
    timeoutMs: ownLimit(task.timeout) ?? handler.timeoutMs,
    totalTimeoutMs: ownLimit(task.totalTimeout) ?? handler.totalTimeoutMs,
    stallMs: ownLimit(task.stall) ?? handler.stallMs,
    // The task's back-off replaces a delay that the handler computes.
    backoff: backoff === undefined ? handler.backoff : backoffPolicy({ ...withoutDelay(handler.backoff), ...backoff }),
    decay: decay ?? handler.decay,
    counts: counts ?? handler.counts,
  }
}

/** A document may have been written by hand. */
function ownLimit(ms: unknown): number | undefined {
  const { least, most } = LIMIT_RANGE
  return typeof ms === 'number' && ms >= least && ms <= most ? ms : undefined
}

const withoutDelay = ({ delay: _, ...policy }: BackoffPolicy): BackoffPolicy => policy
