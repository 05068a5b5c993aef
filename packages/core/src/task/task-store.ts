import type { mongo } from 'mongoose'
import type { ControlView, TaskStatus } from '../protocol.ts'
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
  worker: string
  leaseMs: number
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
}

/** What a worker can run. */
export interface Served {
  queues: readonly string[]
  /** Handler names with the versions of each that it can run, both ends included. */
  tasks: ReadonlyMap<string, { oldest: number; newest: number }>
  /** False while lazy tasks have to wait. */
  lazy?: boolean
}

/** How an attempt ends. Made by `Outcome`'s constructors only. */
export type Outcome =
  | { verb: 'complete'; output: unknown }
  /** `decay`: whether the failure costs it a step of priority. */
  | { verb: 'retry'; error: TaskError; delayMs: number; decay: boolean }
  | { verb: 'fail'; error: TaskError }
  | { verb: 'snooze'; delayMs: number }
  | { verb: 'release' }
  | { verb: 'suspend' }
  | { verb: 'stop' }

export const Outcome = {
  completed: (output: unknown): Outcome => ({ verb: 'complete', output }),
  retry: (error: TaskError, delayMs: number, decay = true): Outcome => ({ verb: 'retry', error, delayMs, decay }),
  failed: (error: TaskError): Outcome => ({ verb: 'fail', error }),
  snoozed: (delayMs: number): Outcome => ({ verb: 'snooze', delayMs }),
  released: (): Outcome => ({ verb: 'release' }),
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

export type Control = Pick<ControlView, 'action' | 'by'> & { reason?: string }

/**
 * The tasks of a fleet. Each verb is one guarded write; "no match" is an answer and never an error.
 * Whatever implements this runs `describeTaskStore` of `@taskfleet/core/testing`.
 */
export interface TaskStore {
  /**
   * Stores tasks; repeating a call with the same ids is harmless. What a key's policy says decides whether the answer is
   * the new task or the one that is there.
   * @throws {FleetError} `TASK_EXISTS`, `KEY_EXISTS`; `QUEUE_FULL` when a queue has no room for all of them: none is stored
   */
  enqueue(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]>
  /**
   * Takes up those of the tasks that are still waiting and due by the server's time, in the order of the ids.
   *
   * @param onEarly told of each that still waits, since it is not due yet by the server's time
   * @throws {FleetError} `SLOT_TAKEN` when the claimant's slot is another task's
   */
  claim(ids: readonly ObjectId[], claimant: Claimant, onEarly?: (id: ObjectId) => void): Promise<Claim[]>
  /** Extends leases, all in one write; returns the lease ids that are no longer held. */
  renew(leaseIds: readonly string[], leaseMs: number): Promise<string[]>
  /** Stores the progress of several attempts in one write; those no longer owned are passed over. */
  report(reports: readonly Report[]): Promise<void>
  /** Stores what a handler wants to go on from; false when the task is no longer its own. */
  saveCheckpoint(id: ObjectId, leaseId: string, state: unknown): Promise<boolean>
  /** Ends an attempt. */
  settle(claim: Pick<Claim, 'task' | 'leaseId'>, outcome: Outcome): Promise<Settled>
  /** Takes back every task whose lease has expired; also says when the next look is worth while. */
  reap(): Promise<{ reaped: TaskDocument[]; nextExpiry: Date | null }>
  /** Ends a task that waits, or asks the worker of a running one to. Null when there is no such task. */
  cancel(id: ObjectId, by: string, reason?: string): Promise<TaskDocument | null>
  /** Holds a waiting task back, or asks the worker of a running one to stop in between. */
  pause(id: ObjectId, by: string, reason?: string): Promise<TaskDocument | null>
  /** Lets a paused task go on, or takes back a pause that was only asked for. Null when it is not paused. */
  resume(id: ObjectId): Promise<TaskDocument | null>
  /**
   * Makes a failed or cancelled task wait again with all its tries. Null when it is neither.
   * @throws {FleetError} `KEY_EXISTS` when another with its key has come in its place
   */
  rerun(id: ObjectId): Promise<TaskDocument | null>
  /** Changes a task that waits; with `rev` only as it was seen. Null when it doesn't wait or has changed. */
  edit(id: ObjectId, changes: Changes, rev?: number): Promise<TaskDocument | null>
  /** Raises every task whose deadline nears or has come; also says when the next look is worth while. */
  raiseDue(): Promise<{ raised: TaskDocument[]; nextRaise: Date | null }>
  /** Lets the tasks go that waited for this one; the count is for all that shared the write. */
  unblock(after: ObjectId): Promise<number>
  /** Lets all tasks go whose predecessor has completed: a safety net. */
  unblockAll(): Promise<number>
  /**
   * Due tasks in claim order, and those that become due within `horizonMs`, two minutes by default: however many wait for
   * later dates, they are not looked at.
   */
  waiting(served: Served, limit: number, horizonMs?: number): Promise<{ due: Hint[]; next: Hint[] }>
  /** Which places of limited queues are taken. */
  slots(): Promise<Pick<TaskDocument, '_id' | 'slot'>[]>
  /** What was asked of the tasks that this worker runs. */
  controls(worker: string): Promise<{ _id: ObjectId; control: Control }[]>
  find(id: ObjectId): Promise<TaskDocument | null>
  /** Ends those of the tasks that can't be understood as failed with `CORRUPT`; returns how many. */
  endMisfits(ids: readonly unknown[]): Promise<number>
  /** Removes an ended task; false when it hasn't ended or isn't there. */
  remove(id: ObjectId): Promise<boolean>
}
