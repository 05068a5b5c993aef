import { type Duration, type EnqueueOptions, parseJson, type TaskChanges } from '@taskfleet/protocol'
import type { Command } from 'commander'
import { parseDuration } from './options.ts'

type OwnLimit = Duration | 'none'

/** What a task is given of its own, in place of what its handler says; `none` takes one away. */
export interface BudgetOptions {
  retry?: string
  timeout?: OwnLimit
  totalTimeout?: OwnLimit
  stall?: OwnLimit
}

/** `none`: the handler decides. */
export const parseOwnLimit = (text: string): OwnLimit => (text === 'none' ? text : parseDuration(text))
/** Of a task, or of those that a schedule or a callback makes. */
export const budgeted = (command: Command): Command =>
  command
    .option(
      '--retry <json|none>',
      'when a failed task is tried again, in place of what it says now; none: as its handler says',
    )
    .option('--timeout <duration|none>', 'how long one attempt may take; none: as its handler says', parseOwnLimit)
    .option(
      '--total-timeout <duration|none>',
      'how long a task may take in all; none: as its handler says',
      parseOwnLimit,
    )
    .option('--stall <duration|none>', 'how long an attempt may report nothing new', parseOwnLimit)

const orNull = (limit: OwnLimit): Duration | null => (limit === 'none' ? null : limit)

type Budget = Pick<EnqueueOptions, 'retry' | 'timeout' | 'totalTimeout' | 'stall'>
type BudgetChanges = Pick<TaskChanges, keyof Budget>

/** @throws {FleetError} `BAD_JSON` */
export function budgetChanges({ retry, timeout, totalTimeout, stall }: BudgetOptions): BudgetChanges {
  return {
    ...(retry === undefined
      ? {}
      : { retry: retry === 'none' ? null : (parseJson(retry, '--retry') as NonNullable<Budget['retry']>) }),
    ...(timeout === undefined ? {} : { timeout: orNull(timeout) }),
    ...(totalTimeout === undefined ? {} : { totalTimeout: orNull(totalTimeout) }),
    ...(stall === undefined ? {} : { stall: orNull(stall) }),
  }
}
