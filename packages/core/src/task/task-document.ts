import type { AttemptOutcome, IfFailed, TaskStatus } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Signature } from '../auth/signing.ts'
import type { StoredBudget } from './budget.ts'

export type ObjectId = mongo.ObjectId

/** The last error of an attempt. */
export interface TaskError {
  /** Stable, for programs. */
  code: string
  name: string
  message: string
  /** Equal for errors that are the same fault. */
  fingerprint: string
  stack?: string
}

/** One claim of a task, written by the claim itself. */
export interface Attempt {
  /** The claim's number, from 1 without gaps. */
  n: number
  /** The worker's id. */
  worker: string
  /** The claim's lease id. */
  lease: string
  claimedAt: Date
  endedAt?: Date
  outcome?: AttemptOutcome
  error?: TaskError
  /** It was counted as lost, and then its worker came back and said that it had lived. */
  survived?: true
}

/** Proof of one claim. Never leaves the server side. */
export interface Lease {
  /** New for every claim. */
  id: string
  /** The session of the worker that holds it: good for as long as that lives. */
  session: string
}

/** A lease as workers of earlier versions write it; read until the last of them is gone. */
export interface DatedLease {
  id: string
  worker: string
  /** By the database's clock. */
  expiresAt: Date
}

export interface StoredProgress {
  ratio?: number
  done?: number
  total?: number
  unit?: string
  message?: string
  at: Date
}

/** A request to whoever runs the task. */
export interface Control {
  action: 'cancel' | 'pause'
  by: string
  reason?: string
  at: Date
}

/** A task as the collection `tasks` holds it. */
export interface TaskDocument extends StoredBudget {
  _id: ObjectId
  /** The handler that runs it. */
  name: string
  /** The version that its input was written for. */
  version: number
  input: unknown
  output?: unknown
  status: TaskStatus
  /** A named lane. */
  queue: string
  /** 1 to 10, higher first; the effective one. */
  priority: number
  /** What was asked for. */
  basePriority: number
  /** When it becomes active. */
  runAt: Date
  /** Its place among equals in priority. */
  order: Date
  deadline?: Date
  /** When it is raised next: some time before its deadline to high, at the deadline to 10. */
  raiseAt?: Date
  /** When the deadline was seen to have passed before the task had ended. */
  deadlineMissedAt?: Date
  /** Runs only while the machine is not overloaded. */
  lazy: boolean
  /** Claims so far; never goes back. */
  attempt: number
  /** Attempts that failed. */
  failures: number
  /** How many workers died with it, one after the other, while its checkpoint stood still. */
  lost: number
  /** The most `failures` allowed. */
  maxAttempts: number
  /** The latest 100 claims. */
  attempts: Attempt[]
  /** How many older entries of `attempts` were dropped. */
  attemptsDropped: number
  /** Who runs it. */
  worker?: string
  /** Its own socket while it runs. */
  publicUrl?: string
  lease?: Lease
  /** Its place among those of its queue that may run at once in the whole fleet; unique, and given up with the lease. */
  slot?: string
  control?: Control
  /** The last checkpointed one. */
  progress?: StoredProgress
  /** The handler's own state to go on from. */
  checkpoint?: unknown
  /** The latest attempt that changed the checkpoint. */
  checkpointAttempt?: number
  error?: TaskError
  /** Unique among tasks that have not ended. */
  key?: string
  /** A debounced task gives its key up when it is claimed: what comes then is the next one. */
  keyUntil?: 'claimed'
  parent?: ObjectId
  /** What it waits for: one id bare, or a list of several. */
  after?: ObjectId | ObjectId[]
  /** What it does when one of those fails; `fail` when absent. */
  ifFailed?: IfFailed
  /** What its predecessors' own documents don't say. Never leaves the server side. */
  predecessors?: {
    /** Those that were seen completed, since retention may remove them. */
    completed: ObjectId[]
    /** Those whose end, up to this revision of theirs, was known to whoever retried this task. */
    forgiven: { id: ObjectId; rev: number }[]
  }
  replayOf?: ObjectId
  /** The name of the schedule that made it. */
  schedule?: string
  event?: ObjectId
  signature?: Signature
  /** Plus one with every write. */
  rev: number
  createdAt: Date
  updatedAt: Date
  claimedAt?: Date
  startedAt?: Date
  finishedAt?: Date
  /** When retention removes it. */
  expireAt?: Date
}
