import type { Retention } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { ENDED_STATUSES } from './lifecycle.ts'
import type { EndedStatus } from './retention.ts'
import { amount, type Expression, laterOf, NOW, STAMP } from './server-time.ts'

/**
 * What the store's update pipelines have in common. All times are the server's. Every value from a caller is wrapped in
 * `$literal`, because a string that starts with `$` would be read as a field's name.
 */
export type Pipeline = mongo.Document[]

export const literal = (value: unknown): Expression => ({ $literal: value })
export const TOUCH = { updatedAt: STAMP, rev: { $add: [amount('$rev'), 1] } }
export const CANCEL_ASKED: Expression = { $eq: ['$control.action', 'cancel'] }
export const PAUSE_ASKED: Expression = { $eq: ['$control.action', 'pause'] }
/** The priority of a task that has missed its deadline. */
export const URGENT = 10

export function isSet(path: string): Expression {
  return { $ne: [{ $ifNull: [path, null] }, null] }
}

/** The longest time that a task waits for a worker at the place of its checkpoint, in milliseconds. */
export const LONGEST_AFFINITY_MS = 3_600_000

const HAS_AFFINITY: Expression = {
  $and: [
    { $eq: ['$status', 'pending'] },
    { $eq: [{ $type: '$affinity.place' }, 'string'] },
    { $isNumber: '$affinity.ms' },
  ],
}

/**
 * A task that waits again is due for workers at the place of its checkpoint; for all others, it is as if it were scheduled for later.
 * So their reads leave it out without looking at the place. Must run after the stages that write `status` and `runAt`.
 */
export function firstAtItsPlace(): Pipeline {
  const ms = { $toLong: { $min: [{ $max: [0, '$affinity.ms'] }, LONGEST_AFFINITY_MS] } }
  const later = { $dateAdd: { startDate: '$affinity.since', unit: 'millisecond', amount: ms } }
  const since = { $mergeObjects: ['$affinity', { since: laterOf(NOW, '$runAt') }] }
  return [
    { $set: { affinity: { $cond: [HAS_AFFINITY, since, { $ifNull: ['$affinity', '$$REMOVE'] }] } } },
    {
      $set: {
        runAt: { $cond: [HAS_AFFINITY, later, '$runAt'] },
        order: { $cond: [HAS_AFFINITY, later, '$order'] },
      },
    },
  ]
}

/** No place has the first go any more: a client has said when the task may start. */
export const anywhere = (): Pipeline => [{ $unset: ['affinity'] }]

/** The fields that only ended tasks have. Must run after the stage that writes `status` and `updatedAt`. */
export function ended(retention: Retention): Record<string, Expression> {
  const isEnded = { $in: ['$status', [...ENDED_STATUSES]] }
  const kept = (Object.entries(retention) as [EndedStatus, number | null][]).flatMap(([status, ms]) =>
    ms === null
      ? []
      : [
          {
            case: { $eq: ['$status', status] },
            then: { $dateAdd: { startDate: '$updatedAt', unit: 'millisecond', amount: Math.round(ms) } },
          },
        ],
  )
  return {
    finishedAt: { $cond: [isEnded, '$updatedAt', '$$REMOVE'] },
    expireAt: kept.length === 0 ? '$$REMOVE' : { $switch: { branches: kept, default: '$$REMOVE' } },
    raiseAt: { $cond: [isEnded, '$$REMOVE', '$raiseAt'] },
  }
}

/** A pipeline that changes nothing unless the condition holds. The server checks it within the write. */
export function onlyIf(condition: Expression, pipeline: Pipeline): Pipeline {
  const conditional = pipeline.map((stage) => {
    if ('$unset' in stage) {
      const removed = (stage.$unset as string[]).map((field) => [
        field,
        { $cond: ['$applies', '$$REMOVE', `$${field}`] },
      ])
      return { $set: Object.fromEntries(removed) }
    }
    const set = Object.entries(stage.$set as Record<string, Expression>).map(([field, value]) => [
      field,
      { $cond: ['$applies', value, `$${field}`] },
    ])
    return { $set: Object.fromEntries(set) }
  })
  return [{ $set: { applies: condition } }, ...conditional, { $unset: ['applies'] }]
}
