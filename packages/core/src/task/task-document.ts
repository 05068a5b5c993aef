import type { AttemptView, ControlView, Progress, TaskErrorView, TaskRow } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Signature } from '../auth/signing.ts'
import type { Stored } from '../documents/stored.ts'

export type ObjectId = mongo.ObjectId

/** The last error of an attempt. */
export interface TaskError extends TaskErrorView {}

/** One attempt of a task, written by its claim. */
export interface Attempt extends Stored<AttemptView, 'claimedAt' | 'endedAt'> {
  /** The claim's lease id. */
  lease: string
}

/** Proof of one claim. It is never sent to clients. */
export interface Lease {
  /** New for every claim. */
  id: string
  /** The session of the worker that holds it. The lease is valid as long as the session. */
  session: string
}

/** A lease in the format of earlier versions, which is read until no such worker is left. */
export interface DatedLease {
  id: string
  worker: string
  /** By the database's clock. */
  expiresAt: Date
}

export interface StoredProgress extends Stored<Progress, 'at'> {}

/** A request to the worker that runs the task. */
export interface Control extends Stored<ControlView, 'at'> {}

type TaskDates =
  | 'runAt'
  | 'order'
  | 'deadline'
  | 'raiseAt'
  | 'deadlineMissedAt'
  | 'createdAt'
  | 'updatedAt'
  | 'claimedAt'
  | 'startedAt'
  | 'finishedAt'
  | 'expireAt'
type TaskIds = '_id' | 'parent' | 'after' | 'replayOf' | 'event'
type Fields = Stored<TaskRow, TaskDates, TaskIds>

/** A task as the collection `tasks` holds it. */
export interface TaskDocument
  extends Omit<Fields, 'input' | 'attempts' | 'attemptsDropped' | 'affinity' | 'control' | 'progress' | 'error'> {
  input: unknown
  affinity?: Stored<NonNullable<TaskRow['affinity']>, 'since'>
  /** The latest 100 claims. */
  attempts: Attempt[]
  /** How many older entries of `attempts` were dropped. */
  attemptsDropped: number
  lease?: Lease
  /** The task's place in a queue with a limit. Unique, and released with the lease. */
  slot?: string
  control?: Control
  progress?: StoredProgress
  error?: TaskError
  /** A debounced task releases its key when it is claimed, so later requests make a new task. */
  keyUntil?: 'claimed'
  /** State about the predecessors that their documents don't have. It is never sent to clients. */
  predecessors?: {
    /** Those that completed. Retention may remove them. */
    completed: ObjectId[]
    /** Those that had failed when this task was retried, with their revision at that time. */
    forgiven: { id: ObjectId; rev: number }[]
  }
  signature?: Signature
}
