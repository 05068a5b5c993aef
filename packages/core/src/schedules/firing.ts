import { createHash } from 'node:crypto'
import type { SkipReason } from '@taskfleet/protocol'
import { driver } from '../database/driver.ts'
import { type NewTask, parseNewTask } from '../task/new-task.ts'
import type { ObjectId } from '../task/task-document.ts'
import type { DueSchedule, ScheduleDocument } from './schedule-document.ts'
import { missedSlots, nextSlot } from './slots.ts'

/** The most missed slots that get a task afterwards. */
const MOST_MISSED = 100
/** A slot without a task counts as missed after this time. Before that, it is only late. */
const MISSED_MS = 60_000

/** What to do about the slots of a schedule that are due. */
export interface Firing {
  /** The schedule as it was read. */
  schedule: DueSchedule
  /** The slots that get a task, the earliest first. */
  run: Date[]
  /** The last slot that is skipped. */
  skipped: { slot: Date; reason: SkipReason } | null
  /** The first and the last of the missed slots beyond the limit. */
  dropped: { from: Date; to: Date } | null
  /** The next slot after all of these. */
  nextAt: Date | null
}

/** @param now the server's time, not before the schedule's `nextAt` */
export function planFiring(schedule: DueSchedule, now: Date): Firing {
  const { missed, nextAt: first } = schedule
  const all = missed === 'all'
  const { slots, before } = missedSlots(schedule, first, now, all ? MOST_MISSED : 1)
  const last = slots.at(-1) ?? first
  const late = missed === 'skip' && now.getTime() - last.getTime() > MISSED_MS
  const skipped = late ? last : before
  return {
    schedule,
    run: late ? [] : slots,
    skipped: skipped === null ? null : { slot: skipped, reason: 'MISSED' },
    dropped: all && before !== null ? { from: first, to: before } : null,
    nextAt: nextSlot(schedule, now),
  }
}

/**
 * The id of a slot's task, equal in every process. As in every ObjectId, it begins with a time in seconds, here the slot. The
 * rest is a hash of the schedule, its creation date (a later schedule with the same name gets other ids) and the slot.
 */
export function taskIdOf({ _id, createdAt }: ScheduleDocument, slot: Date): ObjectId {
  const id = createHash('sha256').update(`${_id}\n${createdAt.getTime()}\n${slot.getTime()}`).digest()
  id.writeUInt32BE(Math.floor(slot.getTime() / 1_000) % 2 ** 32, 0)
  return new driver.ObjectId(id.subarray(0, 12))
}

export function taskOfSlot(schedule: ScheduleDocument, slot: Date): NewTask {
  const { deadlineAfter } = schedule.options
  return {
    ...taskOf(schedule),
    _id: taskIdOf(schedule, slot),
    runAt: slot,
    ...(deadlineAfter === undefined ? {} : { deadline: new Date(slot.getTime() + deadlineAfter) }),
  }
}

/** A task outside the slots. @param now the server's time */
export function taskByHand(schedule: ScheduleDocument, now: Date): NewTask {
  const { deadlineAfter } = schedule.options
  const deadline = deadlineAfter === undefined ? {} : { deadline: new Date(now.getTime() + deadlineAfter) }
  return { ...taskOf(schedule), ...deadline }
}

function taskOf({ _id, task, version, input, options }: ScheduleDocument): NewTask {
  const { deadlineAfter: _, ...given } = options
  return { ...parseNewTask({ name: task, version, input, ...given }), schedule: _id }
}
