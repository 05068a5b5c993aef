import type { IfFailed, Retention, TaskStatus } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { afterOf, type Known } from './dependencies.ts'
import { TRANSITIONS } from './lifecycle.ts'
import type { ObjectId, TaskError } from './task-document.ts'
import { ended, literal, type Pipeline, TOUCH } from './update-parts.ts'

/** The task waits no longer: its predecessors have ended. */
export function unblock(known: Known): Pipeline {
  return [{ $set: { status: TRANSITIONS.unblock.to, predecessors: literal(known), ...TOUCH } }]
}

/** The task ends without having run, because a predecessor failed, was cancelled or was removed. */
export function giveUp(verb: 'abandon' | 'skip', error: TaskError, retention: Retention): Pipeline {
  return [{ $set: { status: TRANSITIONS[verb].to, error: literal(error), ...TOUCH } }, { $set: ended(retention) }]
}

/** The task goes on waiting, and stores which predecessors have completed. Clients don't see that, so `rev` stays the same. */
export function noteCompleted(ids: readonly ObjectId[]): Pipeline {
  const before = { $ifNull: ['$predecessors.completed', []] }
  const forgiven = { $ifNull: ['$predecessors.forgiven', []] }
  return [{ $set: { predecessors: { completed: { $setUnion: [before, literal(ids)] }, forgiven } } }]
}

/** The task must wait for other tasks before it may run. */
export function block(verb: 'block' | 'rewait', known: Known): Pipeline {
  return [{ $set: { status: TRANSITIONS[verb].to, predecessors: literal(known) } }]
}

/** Changes which tasks it waits for; none if `after` is empty. */
export function waitFor(wanted: {
  after: readonly ObjectId[]
  ifFailed: IfFailed | undefined
  known: Known
  status: TaskStatus
}): Pipeline {
  const { after, ifFailed, known, status } = wanted
  if (after.length === 0) return [{ $set: { status } }, { $unset: ['after', 'ifFailed', 'predecessors'] }]
  const set = {
    status,
    after: literal(afterOf(after)),
    predecessors: literal(known),
    ...given({ ifFailed }),
  }
  return [{ $set: set }]
}
