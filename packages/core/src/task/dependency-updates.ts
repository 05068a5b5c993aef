import type { IfFailed, Retention, TaskStatus } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { afterOf, type Known } from './dependencies.ts'
import { TRANSITIONS } from './lifecycle.ts'
import type { ObjectId, TaskError } from './task-document.ts'
import { ended, literal, type Pipeline, TOUCH } from './update-parts.ts'

/** What it waited for is over. */
export function unblock(known: Known): Pipeline {
  return [{ $set: { status: TRANSITIONS.unblock.to, predecessors: literal(known), ...TOUCH } }]
}

/** It ends without having run, since one that it waited for failed, was cancelled or is removed. */
export function giveUp(verb: 'abandon' | 'skip', error: TaskError, retention: Retention): Pipeline {
  return [{ $set: { status: TRANSITIONS[verb].to, error: literal(error), ...TOUCH } }, { $set: ended(retention) }]
}

/** It goes on waiting, and remembers who has completed. Nobody sees that, so `rev` stays. */
export function noteCompleted(ids: readonly ObjectId[]): Pipeline {
  const before = { $ifNull: ['$predecessors.completed', []] }
  const forgiven = { $ifNull: ['$predecessors.forgiven', []] }
  return [{ $set: { predecessors: { completed: { $setUnion: [before, literal(ids)] }, forgiven } } }]
}

/** It waits for others before it may run. */
export function block(verb: 'block' | 'rewait', known: Known): Pipeline {
  return [{ $set: { status: TRANSITIONS[verb].to, predecessors: literal(known) } }]
}

/** It waits for other tasks than before, or for none. */
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
