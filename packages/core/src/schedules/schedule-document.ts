import type { MissedPolicy, OverlapPolicy, SkipReason } from '@taskfleet/protocol'
import type { Signature } from '../auth/signing.ts'
import type { Budget } from '../task/budget.ts'
import type { ObjectId } from '../task/task-document.ts'

/** When a schedule's slots are: by `cron` in a time zone, or by a period. Exactly one of the two is given. */
export interface Timing {
  /** Five fields, or six with seconds first. */
  cron?: string
  /** A period in milliseconds, counted from `startsAt`. */
  every?: number
  /** IANA; what `cron` is read in. */
  timeZone: string
  /** No slot before it. */
  startsAt?: Date
  /** No slot after it. */
  endsAt?: Date
}

/** What its tasks are made with. */
export interface ScheduleOptions extends Budget {
  queue: string
  priority?: number
  lazy?: boolean
  /** The deadline of each task, in milliseconds after its slot. */
  deadlineAfter?: number
}

/** What people say of a schedule; the rest is the fleet's. */
export interface ScheduleSettings extends Timing {
  task: string
  /** The version that its input is written for. */
  version: number
  input: unknown
  options: ScheduleOptions
  /** What becomes of slots that passed while nobody could see to them. */
  missed: MissedPolicy
  /** Whether a slot is left out while a task of this schedule has not ended. */
  overlap: OverlapPolicy
  paused: boolean
}

/** Says: at these times, run this task. */
export interface ScheduleDocument extends ScheduleSettings {
  /** Its name, chosen by whoever made it. */
  _id: string
  signature?: Signature
  /** The slot that comes next; absent while it is paused and when it is over. */
  nextAt?: Date
  /** The last slot for which a task was made. */
  lastSlot?: Date
  /** The last task that was made, for a slot or by hand. */
  lastTask?: ObjectId
  /** The last slot for which none was made. */
  lastSkipped?: { slot: Date; reason: SkipReason }
  /** Who made it or changed it last. */
  by: string
  createdAt: Date
  updatedAt: Date
  /** Plus one with every change that somebody makes, and not with its slots: for edits of what was seen. */
  edition: number
  /** Plus one with every write. */
  rev: number
}

/** One whose next slot has come. */
export type DueSchedule = ScheduleDocument & { nextAt: Date }
