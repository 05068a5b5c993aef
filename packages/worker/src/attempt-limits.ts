import type { TaskDocument } from '@taskfleet/core'
import { type BackoffPolicy, backoffPolicy, LIMIT_RANGE } from '@taskfleet/core/internal'
import type { FailureCounts } from '@taskfleet/protocol'
import type { TaskFactory } from './task-factory.ts'

/** How long an attempt may take, and what its failure costs. Times in milliseconds; undefined for no limit. */
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

/** What the task says of its own wins over what its handler says. */
export function limitsOf(task: OwnBudget, handler: HandlersBudget): AttemptLimits {
  const { backoff, decay, counts } = task.retry ?? {}
  return {
    timeoutMs: ownLimit(task.timeout) ?? handler.timeoutMs,
    totalTimeoutMs: ownLimit(task.totalTimeout) ?? handler.totalTimeoutMs,
    stallMs: ownLimit(task.stall) ?? handler.stallMs,
    // A delay that the handler works out gives way to one that the task asks for.
    backoff: backoff === undefined ? handler.backoff : backoffPolicy({ ...withoutDelay(handler.backoff), ...backoff }),
    decay: decay ?? handler.decay,
    counts: counts ?? handler.counts,
  }
}

/** Somebody may have written to the database by hand. */
function ownLimit(ms: unknown): number | undefined {
  const { least, most } = LIMIT_RANGE
  return typeof ms === 'number' && ms >= least && ms <= most ? ms : undefined
}

const withoutDelay = ({ delay: _, ...policy }: BackoffPolicy): BackoffPolicy => policy
