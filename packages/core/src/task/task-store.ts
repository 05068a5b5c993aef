import type { ControlView, FailureCounts, TaskStatus } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import type { Changes, NewTask } from './new-task.ts'
import type { ObjectId, StoredProgress, TaskDocument, TaskError } from './task-document.ts'

/** A task that somebody may run now, with the proof of it. */
export interface Claim {
  task: TaskDocument
  leaseId: string
  /** Found after an error: what became of others in the same call is not known. */
  adopted?: true
  /** `performance.now()` when the claim was sent: the lease is trusted from then on. */
  sentAt: number
}

/** Who claims, and what the claim writes on the task. */
export interface Claimant {
  /** The session on which the claim rests, which is the worker's id as well. */
  worker: string
  /** The most workers that may have died with a task that it takes up: others are passed over. Any number without it. */
  maxLost?: number
  /** The queues it serves: a task that was moved to another meanwhile is not taken. */
  queues?: readonly string[]
  /** The place in its queue that the claim takes, where that is limited. */
  slot?: string
  /** The server's time after which the claim takes nothing: a queue's rate has let it start until then. */
  notAfter?: Date
  /** The address before `/tasks/<id>`; absent when the worker doesn't listen. */
  publicBase?: string
}

/** A waiting task as a worker keeps it in memory: a hint to claim by, never a lock. */
export interface Hint {
  _id: ObjectId
  name: string
  version: number
  queue: string
  priority: number
  order: Date
  runAt: Date
  lazy: boolean
  /** How many workers have died with it. */
  lost: number
  /** When it was last written, by the server's time. */
  updatedAt: Date
}

/** What a worker can run. */
export interface Served {
  queues: readonly string[]
  /** Handler names with the versions of each that it can run, both ends included. */
  tasks: ReadonlyMap<string, { oldest: number; newest: number }>
  /** False while lazy tasks have to wait. */
  lazy?: boolean
  /** The most workers that may have died with a task that it takes up now. Any number without it. */
  maxLost?: number
}

/** How an attempt ends. Made by `Outcome`'s constructors only. */
export type Outcome =
  | { verb: 'complete'; output: unknown }
  /**
   * `decay`: whether the failure costs it a step of priority. `counts`: whether it costs anything at all after the attempt has
   * changed the checkpoint, which the store decides by what is stored.
   */
  | { verb: 'retry'; error: TaskError; delayMs: number; decay: boolean; counts: FailureCounts }
  /** It failed, asked to be tried later, and that costs it nothing. */
  | { verb: 'defer'; error: TaskError; delayMs: number }
  | { verb: 'fail'; error: TaskError }
  | { verb: 'snooze'; delayMs: number }
  /** `delayMs`: for how long nobody may take it up; at once without. */
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

/** What an attempt tells the database while it runs. */
export interface Report {
  id: ObjectId
  leaseId: string
  progress?: StoredProgress
}

/** How the end of an attempt went: the task's new status, or that it is somebody else's by now. */
export type Settled = { owned: true; status: TaskStatus } | { owned: false }

/** An attempt as its end names it. */
export interface EndedAttempt {
  task: Pick<TaskDocument, '_id' | 'event'>
  leaseId: string
}

/** A running task as its worker asks for it. */
export interface Held {
  _id: ObjectId
  leaseId: string
  event?: ObjectId
  control?: Control
}

export type Control = Pick<ControlView, 'action' | 'by'> & { reason?: string }

/** A filter that bounds which tasks somebody may change: part of the write itself. Without it all may be. */
export type Within = Readonly<Record<string, unknown>> | undefined

/**
 * The tasks of a fleet. Each verb is one guarded write; "no match" is an answer and never an error.
 * Whatever implements this runs `describeTaskStore` of `@taskfleet/core/testing`.
 */
export interface TaskStore {
  /**
   * Stores tasks; repeating a call with the same ids is harmless. What a key's policy says decides whether the answer is
   * the new task or the one that is there.
   * @throws {FleetError} `TASK_EXISTS`, `KEY_EXISTS`; `NOT_FOUND` and `DEPENDENCY_CYCLE` of `after`; `QUEUE_FULL` when a queue has no room for all of them: none is stored
   */
  enqueue(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]>
  /**
   * Takes up those of the tasks that are still waiting and due by the server's time, in the order of the ids.
   *
   * @param onEarly called for each task that is not due yet by the server's time
   * @throws {FleetError} `SLOT_TAKEN` when the claimant's slot is another task's
   */
  claim(ids: readonly ObjectId[], claimant: Claimant, onEarly?: (id: ObjectId) => void): Promise<Claim[]>
  /** Stores the progress of several attempts in one write; those no longer owned are passed over. */
  report(reports: readonly Report[]): Promise<void>
  /** Stores what a handler wants to go on from; false when the task is no longer its own. */
  saveCheckpoint(id: ObjectId, leaseId: string, state: unknown): Promise<boolean>
  /**
   * Ends an attempt, and stores with its end what it reported last.
   * @throws {FleetError} `END_REFUSED` for an end that can't be written down
   */
  settle(claim: EndedAttempt, outcome: Outcome, progress?: StoredProgress): Promise<Settled>
  /**
   * Takes back every running task whose session is not alive, whenever it was claimed; and those of earlier versions whose
   * lease has expired.
   */
  reap(): Promise<TaskDocument[]>
  /**
   * The process that held this lease was taken for dead and has come back: one loss less. False while the task still runs under
   * the lease, and when there is nothing to take back.
   */
  takeBackLoss(id: ObjectId, leaseId: string): Promise<boolean>
  /** Ends a task that waits, or asks the worker of a running one to. Null when there is no such task. */
  cancel(id: ObjectId, by: string, reason?: string, within?: Within): Promise<TaskDocument | null>
  /** Holds a waiting task back, or asks the worker of a running one to stop in between. */
  pause(id: ObjectId, by: string, reason?: string, within?: Within): Promise<TaskDocument | null>
  /**
   * Lets a paused task go on, or takes back a pause that was only asked for. It is blocked when it was made to wait for
   * others meanwhile. Null when it is not paused.
   */
  resume(id: ObjectId, within?: Within): Promise<TaskDocument | null>
  /**
   * Makes a failed or cancelled task wait again with all its tries: for a worker, or for those of `after` that have not
   * completed. Null when it is neither.
   * @throws {FleetError} `KEY_EXISTS` when another with its key has come in its place
   */
  rerun(id: ObjectId, within?: Within): Promise<TaskDocument | null>
  /**
   * Changes a task that waits; with `rev` only as it was seen. Null when it doesn't wait or has changed.
   * @throws {FleetError} `NOT_FOUND`, `DEPENDENCY_CYCLE`, `OUT_OF_RANGE`, `BAD_VALUE` of `after` and `ifFailed`; `KEY_EXISTS` when another
   *   task of its new queue has its key
   */
  edit(id: ObjectId, changes: Changes, rev?: number, within?: Within): Promise<TaskDocument | null>
  /** Raises every task whose deadline nears or has come; also says when the next look is worth while. */
  raiseDue(): Promise<{ raised: TaskDocument[]; nextRaise: Date | null }>
  /**
   * Moves the tasks that wait for this one, now that it has ended, and those that wait for what ends by it. Whoever ends an
   * attempt by `settle` calls it then; the other verbs that end a task do so themselves. The count is for all that shared
   * the call.
   */
  unblock(after: ObjectId): Promise<number>
  /** Moves all blocked tasks whose predecessors have ended: a safety net. */
  unblockAll(): Promise<number>
  /**
   * Due tasks in claim order, and those that become due within `horizonMs`, two minutes by default: however many wait for
   * later dates, they are not looked at.
   */
  waiting(served: Served, limit: number, horizonMs?: number): Promise<{ due: Hint[]; next: Hint[] }>
  /** Which places of limited queues are taken. */
  slots(): Promise<Pick<TaskDocument, '_id' | 'slot'>[]>
  /** The tasks that run under this session, and what was asked of them. */
  held(session: string): Promise<Held[]>
  find(id: ObjectId): Promise<TaskDocument | null>
  /** How tasks stand and what they returned; those that are removed are missing. */
  results(ids: readonly ObjectId[]): Promise<Pick<TaskDocument, '_id' | 'status' | 'output' | 'error'>[]>
  /** Ends those of the tasks that can't be understood as failed with `CORRUPT`; returns how many. */
  endMisfits(ids: readonly unknown[]): Promise<number>
  /** Removes an ended task; false when it hasn't ended or isn't there. */
  remove(id: ObjectId, within?: Within): Promise<boolean>
}
