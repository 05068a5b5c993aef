import type { EventStatus } from '@taskfleet/protocol'
import type { Signature } from '../auth/signing.ts'
import type { Budget } from '../task/budget.ts'
import type { ObjectId } from '../task/task-document.ts'

/** Says: when an event of this name arrives, run this task. */
export interface CallbackDocument {
  _id: ObjectId
  /** The event's name. */
  event: string
  /** The task's name. */
  task: string
  /** The version that its input is written for. */
  version: number
  defaults: CallbackDefaults
  signature?: Signature
  createdAt: Date
  updatedAt: Date
  rev: number
}

/** What the task of a callback has unless the event says otherwise. */
export interface CallbackDefaults extends Budget {
  /** Put under the event's props. */
  input?: Record<string, unknown>
  queue?: string
  priority?: number
  lazy?: boolean
}

/** How one task of an event ended. */
export interface EventResult {
  task: ObjectId
  name: string
  status: 'completed' | 'failed' | 'cancelled'
  output?: unknown
  error?: { code: string; message: string }
}

/** Something that happened or will happen, with a task for each callback of its name. */
export interface EventDocument {
  _id: ObjectId
  name: string
  props: unknown
  scheduledFor: Date
  /** Of its tasks, where it was asked for. */
  priority?: number
  /** Follows its tasks. */
  status: EventStatus
  tasks: ObjectId[]
  /** How its tasks ended, in their order; there when all have. */
  results?: EventResult[]
  /** The key that posted it. */
  by?: string
  createdAt: Date
  /** When the first of its tasks was taken up. */
  startedAt?: Date
  /** When the last of its tasks had ended. */
  processedAt?: Date
  updatedAt: Date
  expireAt?: Date
  rev: number
}
