import type { CallbackRow, EventRow } from '@taskfleet/protocol'
import type { Signature } from '../auth/signing.ts'
import type { Stored } from '../documents/stored.ts'

/** "When an event of this name arrives, run this task." */
export interface CallbackDocument extends Stored<CallbackRow, 'createdAt' | 'updatedAt', '_id'> {
  signature?: Signature
}

/** The defaults for a callback's task. The event's values take precedence; its props take precedence over `input`. */
export type CallbackDefaults = CallbackRow['defaults']

/** How one task of an event ended. */
export interface EventResult extends Stored<NonNullable<EventRow['results']>[number], never, 'task'> {}

type EventDates = 'scheduledFor' | 'createdAt' | 'startedAt' | 'processedAt' | 'updatedAt'

/** Something that happened or will happen, with a task for each callback of its name. */
export interface EventDocument extends Omit<Stored<EventRow, EventDates, '_id' | 'tasks'>, 'results'> {
  /** The results of its tasks, in their order. Set when all have ended. */
  results?: EventResult[]
  expireAt?: Date
}
