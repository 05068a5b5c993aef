import type { ScheduleRow, SkipReason } from '@taskfleet/protocol'
import type { Signature } from '../auth/signing.ts'
import type { Stored } from '../documents/stored.ts'

type Row = Stored<ScheduleRow, 'startsAt' | 'endsAt' | 'nextAt' | 'lastSlot' | 'createdAt' | 'updatedAt', 'lastTask'>

/** Defines the slots of a schedule, by a `cron` in a time zone or by a period. Exactly one of the two is given. */
export type Timing = Pick<Row, 'cron' | 'every' | 'timeZone' | 'startsAt' | 'endsAt'>

/** The options of the schedule's tasks. */
export type ScheduleOptions = ScheduleRow['options']

/** The settings of a schedule that people choose. The fleet sets the other fields. */
export interface ScheduleSettings
  extends Timing,
    Pick<Row, 'task' | 'version' | 'options' | 'missed' | 'overlap' | 'paused'> {
  input: unknown
}

/** "At these times, run this task." */
export interface ScheduleDocument extends ScheduleSettings, Omit<Row, keyof ScheduleSettings | 'lastSkipped'> {
  signature?: Signature
  /** The last slot for which no task was made. */
  lastSkipped?: { slot: Date; reason: SkipReason }
}

/** A schedule whose next slot is due. */
export type DueSchedule = ScheduleDocument & { nextAt: Date }
