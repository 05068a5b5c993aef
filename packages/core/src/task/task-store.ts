import type { ControlView, FailureCounts, TaskStatus } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import type { Changes, NewTask } from './new-task.ts'
import type { ObjectId, StoredProgress, TaskDocument, TaskError } from './task-document.ts'

/** A claimed task with the proof of the claim. */
export interface Claim {
  task: TaskDocument
  leaseId: string
  /** Found after an error. The result for other tasks of the same call is not known. */
  adopted?: true
  /** `performance.now()` when the claim was sent: the lease is trusted from then on. */
  sentAt: number
}

/** The worker that claims, and what the claim writes to the task. */
export interface Claimant {
  /** The id of the worker, which is also the id of its session. The claim lasts as long as the session. */
  worker: string
  /** The name of the worker, which stays with the task after its end. */
  host: string
  /** Tasks with which more workers than this have died are skipped. No limit by default. */
  maxLost?: number
  /** The queues that it serves. A task that was moved to another queue in the meantime is not claimed. */
  queues?: readonly string[]
  /** The place that the claim takes, if the queue has a limit. */
  slot?: string
  /** The server's time after which the claim has no effect: the queue's rate allows a start only until then. */
  notAfter?: Date
  /** The address before `/tasks/<id>`; absent when the worker doesn't listen. */
  publicBase?: string
  /** Where it is: tasks whose checkpoint is at one of these places may be claimed before others may claim them. */
  places?: readonly string[]
}

/** Where a checkpoint is of use, and for how long a task waits for a worker there, in milliseconds. */
export interface Affinity {
  place: string
  ms: number
}

/** A waiting task as a worker keeps it in memory: a hint what to claim, never a lock. */
export interface Hint {
  _id: ObjectId
  name: string
  version: number
  queue: string
  priority: number
  order: Date
  runAt: Date
  lazy: boolean
  /** How many workers have died with the task. */
  lost: number
  /** When it was last written, by the server's time. */
  updatedAt: Date
  affinity?: TaskDocument['affinity']
}

/** The tasks that a worker can run. */
export interface Served {
  queues: readonly string[]
  /** Handler names with the range of versions that each can run, both ends included. */
  tasks: ReadonlyMap<string, { oldest: number; newest: number }>
  /** False while lazy tasks have to wait. */
  lazy?: boolean
  /** The worker skips tasks with which more workers than this have died. No limit by default. */
  maxLost?: number
  /** Where its handlers' checkpoints are, by the handlers' names. */
  affinities?: ReadonlyMap<string, Affinity>
}

/** How an attempt ends. Made by `Outcome`'s constructors only. */
export type Outcome =
  | { verb: 'complete'; output: unknown }
  /**
   * `decay`: whether the failure lowers the priority by one. `counts`: whether the failure counts if the attempt has changed
   * the checkpoint. The store decides that by the stored checkpoints.
   */
  | { verb: 'retry'; error: TaskError; delayMs: number; decay: boolean; counts: FailureCounts }
  /** The attempt failed and asked for a later retry, which costs no try. */
  | { verb: 'defer'; error: TaskError; delayMs: number }
  | { verb: 'fail'; error: TaskError }
  | { verb: 'snooze'; delayMs: number }
  /** `delayMs`: for how long no worker may claim the task; by default, it may be claimed at once. */
  | { verb: 'release'; delayMs?: number }
  | { verb: 'suspend' }
  | { verb: 'stop' }

export const Outcome = {
  completed: (output: unknown): Outcome => ({ verb: 'complete', output }),
  retry: (
    error: TaskError,
    delayMs: number,
    { decay = true, counts = 'every' }: { decay?: boolean; counts?: FailureCounts } = {},
  ): Outcome => ({ verb: 'retry', error, delayMs, decay, counts }),
  deferred: (error: TaskError, delayMs: number): Outcome => ({ verb: 'defer', error, delayMs }),
  failed: (error: TaskError): Outcome => ({ verb: 'fail', error }),
  snoozed: (delayMs: number): Outcome => ({ verb: 'snooze', delayMs }),
  released: (delayMs?: number): Outcome => ({ verb: 'release', ...given({ delayMs }) }),
  suspended: (): Outcome => ({ verb: 'suspend' }),
  stopped: (): Outcome => ({ verb: 'stop' }),
}

/** What an attempt reports while it runs. */
export interface Report {
  id: ObjectId
  leaseId: string
  progress?: StoredProgress
  naming?: Naming
}

/** A title and labels for a task that has none. */
export interface Naming {
  title?: string
  labels?: Readonly<Record<string, string>>
}

/** The result of ending an attempt: the task's new status, or that the attempt no longer owns the task. */
export type Settled = { owned: true; status: TaskStatus } | { owned: false }

/** The attempt that an end is for. */
export interface EndedAttempt {
  /** Without the attempt's number, its end can't share a write with others. */
  task: Pick<TaskDocument, '_id' | 'event'> & Partial<Pick<TaskDocument, 'attempt'>>
  leaseId: string
  /** Stored with the end. */
  naming?: Naming
}

/** A running task as its worker reads it. */
export interface Held {
  _id: ObjectId
  leaseId: string
  event?: ObjectId
  control?: Control
}

export type Control = Pick<ControlView, 'action' | 'by'> & { reason?: string }

/** A filter for the tasks that the caller may change; part of the write itself. Without it, all tasks may be changed. */
export type Within = Readonly<Record<string, unknown>> | undefined

/**
 * The tasks of a fleet. Each verb is one guarded write. "No match" is a result and never an error.
 * Every implementation must pass `describeTaskStore` of `@taskfleet/core/testing`.
 */
export interface TaskStore {
  /**
   * Stores tasks. Repeating a call with the same ids does no harm. If a key is taken, its policy decides whether the new task
   * or the existing one is returned.
   * @throws {FleetError} `TASK_EXISTS`, `KEY_EXISTS`; `NOT_FOUND` and `DEPENDENCY_CYCLE` of `after`; `QUEUE_FULL` when a queue has no
   *   room for all of them, and then none is stored
   */
  enqueue(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]>
  /**
   * Claims the tasks that are still waiting and due by the server's time. Returns them in the order of the ids.
   *
   * @param onEarly called for each task that is not due yet by the server's time
   * @throws {FleetError} `SLOT_TAKEN` when another task holds the claimant's place
   */
  claim(ids: readonly ObjectId[], claimant: Claimant, onEarly?: (id: ObjectId) => void): Promise<Claim[]>
  /** Stores the progress of several attempts in one write. Attempts that no longer own their task are skipped. */
  report(reports: readonly Report[]): Promise<void>
  /** Stores a handler's checkpoint; false when the attempt no longer owns the task. */
  saveCheckpoint(id: ObjectId, leaseId: string, state: unknown, affinity?: Affinity): Promise<boolean>
  /**
   * Ends an attempt, and stores its latest progress in the same write.
   * @throws {FleetError} `END_REFUSED` for an end that can't be stored
   */
  settle(claim: EndedAttempt, outcome: Outcome, progress?: StoredProgress): Promise<Settled>
  /**
   * Takes back every running task whose session is not alive, and tasks of workers of earlier versions whose lease has
   * expired.
   */
  reap(): Promise<TaskDocument[]>
  /**
   * Undoes one loss, because the process that held this lease was taken for dead and has come back. False while the task still
   * runs under the lease, and when there is no loss to undo.
   */
  takeBackLoss(id: ObjectId, leaseId: string): Promise<boolean>
  /** Cancels a waiting task, or requests that from the worker of a running task. Null when there is no such task. */
  cancel(id: ObjectId, by: string, reason?: string, within?: Within): Promise<TaskDocument | null>
  /** Pauses a waiting task, or requests that from the worker of a running task. */
  pause(id: ObjectId, by: string, reason?: string, within?: Within): Promise<TaskDocument | null>
  /**
   * Resumes a paused task, or withdraws a requested pause. The task becomes blocked if it was made to wait for others in the
   * meantime. Null when it is not paused.
   */
  resume(id: ObjectId, within?: Within): Promise<TaskDocument | null>
  /**
   * Makes a failed or cancelled task wait again with all its tries: for a worker, or for the tasks in `after` that have not
   * completed. Null when it is neither failed nor cancelled.
   * @throws {FleetError} `KEY_EXISTS` when another open task has its key
   */
  rerun(id: ObjectId, within?: Within): Promise<TaskDocument | null>
  /**
   * Changes a waiting task; with `rev`, only if it still has that revision. Null when it isn't waiting or has changed.
   * @throws {FleetError} `NOT_FOUND`, `DEPENDENCY_CYCLE`, `OUT_OF_RANGE`, `BAD_VALUE` of `after` and `ifFailed`; `KEY_EXISTS` when another
   *   task of its new queue has its key
   */
  edit(id: ObjectId, changes: Changes, rev?: number, within?: Within): Promise<TaskDocument | null>
  /** Raises every task whose deadline is near or has passed. Also returns when to call this again. */
  raiseDue(): Promise<{ raised: TaskDocument[]; nextRaise: Date | null }>
  /**
   * Moves the tasks that wait for this ended task. If one of them ends because of that, its successors move too. Callers of
   * `settle` must call this afterwards; the other verbs that end a task do it themselves. Concurrent calls are joined, and
   * each returns the count for all of them.
   */
  unblock(after: ObjectId): Promise<number>
  /** Moves all blocked tasks whose predecessors have ended: a safety net. */
  unblockAll(): Promise<number>
  /**
   * Due tasks in claim order, and those that become due within `horizonMs`, two minutes by default. Tasks for later dates are
   * not read, no matter how many there are.
   */
  waiting(served: Served, limit: number, horizonMs?: number, many?: boolean): Promise<{ due: Hint[]; next: Hint[] }>
  /** The places of limited queues that are taken. */
  slots(): Promise<Pick<TaskDocument, '_id' | 'slot'>[]>
  /** The running tasks of this session, with the requests to them. */
  held(session: string): Promise<Held[]>
  find(id: ObjectId): Promise<TaskDocument | null>
  /** The statuses and outputs of tasks. Removed tasks are missing. */
  results(ids: readonly ObjectId[]): Promise<Pick<TaskDocument, '_id' | 'status' | 'output' | 'error'>[]>
  /** Ends the malformed ones of the tasks as failed with `CORRUPT`. Returns how many. */
  endMisfits(ids: readonly unknown[]): Promise<number>
  /** Removes an ended task; false when it hasn't ended or doesn't exist. */
  remove(id: ObjectId, within?: Within): Promise<boolean>
}
