import type { EnqueueOptions, TaskChanges } from '@taskfleet/core'
import type { Duration } from '@taskfleet/core/protocol'
import { parseDuration, parseJson } from './options.ts'

/** What a task is given of its own, in place of what its handler says; null takes one away. */
export interface BudgetOptions {
  retry?: string
  timeout?: Duration | null
  totalTimeout?: Duration | null
  stall?: Duration | null
}

/** Null for `none`: the handler decides. */
export const parseOwnLimit = (text: string): Duration | null => (text === 'none' ? null : parseDuration(text))

type Budget = Pick<EnqueueOptions, 'retry' | 'timeout' | 'totalTimeout' | 'stall'>
type BudgetChanges = Pick<TaskChanges, keyof Budget>

/** @throws {FleetError} `BAD_JSON` */
export function budgetChanges({ retry, timeout, totalTimeout, stall }: BudgetOptions): BudgetChanges {
  return {
    ...(retry === undefined
      ? {}
      : { retry: retry === 'none' ? null : (parseJson(retry, '--retry') as NonNullable<Budget['retry']>) }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(totalTimeout === undefined ? {} : { totalTimeout }),
    ...(stall === undefined ? {} : { stall }),
  }
}
