import type { mongo } from 'mongoose'
import type { AttemptOutcome } from '../protocol.ts'
import { TRANSITIONS } from './lifecycle.ts'
import type { NewTask } from './new-task.ts'
import { type Expression, fromNow, hasCome, laterOf, NOW, STAMP } from './server-time.ts'
import type { StoredProgress, TaskError } from './task-document.ts'
import type { Claimant, Control, Outcome } from './task-store.ts'

/**
 * The update pipelines of the store. All times are the server's, and every value that a caller made is wrapped in
 * `$literal`: a bare text that starts with `$` would be read as the name of a field.
 */
type Pipeline = mongo.Document[]

const ATTEMPTS_KEPT = 100
const LOST_LIMIT = 3

const literal = (value: unknown): Expression => ({ $literal: value })
const TOUCH = { updatedAt: STAMP, rev: { $add: ['$rev', 1] } }
const CANCEL_ASKED: Expression = { $eq: ['$control.action', 'cancel'] }
const PAUSE_ASKED: Expression = { $eq: ['$control.action', 'pause'] }
/** What belongs to one attempt only. */
const ATTEMPT_FIELDS = ['lease', 'worker', 'publicUrl', 'control']

export function enqueue(task: NewTask, place: { front: Date | undefined; blocked: boolean }): Pipeline {
  const runAt = task.runAt === undefined ? NOW : literal(task.runAt)
  return [
    {
      $set: {
        name: literal(task.name),
        version: task.version,
        input: literal(task.input),
        status: place.blocked ? 'blocked' : 'pending',
        queue: literal(task.queue),
        priority: task.priority,
        basePriority: task.priority,
        runAt,
        order: task.position === 'front' && place.front !== undefined ? literal(place.front) : runAt,
        lazy: task.lazy,
        attempt: 0,
        failures: 0,
        lost: 0,
        maxAttempts: task.maxAttempts,
        attempts: [],
        attemptsDropped: 0,
        rev: 1,
        createdAt: NOW,
        updatedAt: NOW,
        ...(task.deadline === undefined ? {} : { deadline: literal(task.deadline) }),
        ...(task.key === undefined ? {} : { key: literal(task.key) }),
        ...(task.after === undefined ? {} : { after: literal(task.after) }),
      },
    },
  ]
}

/** Only what is due by the server's own clock changes; the rest is matched and left as it was. */
export function claim(leaseId: string, claimant: Claimant): Pipeline {
  const n = { $add: ['$attempt', 1] }
  const entry = { n, worker: literal(claimant.worker), lease: literal(leaseId), claimedAt: STAMP }
  const claimed = {
    status: TRANSITIONS.claim.to,
    attempt: n,
    attempts: { $slice: [{ $concatArrays: ['$attempts', [entry]] }, -ATTEMPTS_KEPT] },
    attemptsDropped: { $max: [0, { $subtract: [n, ATTEMPTS_KEPT] }] },
    lease: { id: literal(leaseId), worker: literal(claimant.worker), expiresAt: fromNow(claimant.leaseMs) },
    worker: literal(claimant.worker),
    claimedAt: STAMP,
    startedAt: { $ifNull: ['$startedAt', STAMP] },
    ...TOUCH,
    ...(claimant.publicBase === undefined
      ? {}
      : { publicUrl: { $concat: [literal(`${claimant.publicBase}/tasks/`), { $toString: '$_id' }] } }),
  }
  const wellFormed = { $and: [{ $isArray: ['$attempts'] }, { $isNumber: '$attempt' }, { $isNumber: '$rev' }] }
  return [
    {
      $replaceWith: {
        $cond: [{ $and: [hasCome('$runAt'), wellFormed] }, { $mergeObjects: ['$$ROOT', claimed] }, '$$ROOT'],
      },
    },
  ]
}

/** Extends a lease and leaves `rev` alone, so that it reaches no subscriber. */
export function renewalUpdate(leaseMs: number): Pipeline {
  return [{ $set: { 'lease.expiresAt': fromNow(leaseMs) } }]
}

export function report(progress: StoredProgress | undefined): Pipeline {
  return [{ $set: { ...TOUCH, ...(progress === undefined ? {} : { progress: literal(progress) }) } }]
}

export function checkpoint(state: unknown): Pipeline {
  return [{ $set: { checkpoint: literal(state), ...TOUCH } }]
}

/** Closes the running attempt. `outcome` and `status` are expressions, since a cancel that was asked for wins. */
function leaveRunning(end: {
  status: Expression
  outcome: Expression
  error?: Expression
  set?: Record<string, Expression>
}): Pipeline {
  const closed = {
    endedAt: laterOf(STAMP, '$$entry.claimedAt'),
    outcome: end.outcome,
    ...(end.error === undefined ? {} : { error: end.error }),
  }
  return [
    {
      $set: {
        status: end.status,
        attempts: {
          $map: {
            input: '$attempts',
            as: 'entry',
            in: { $cond: [{ $eq: ['$$entry.n', '$attempt'] }, { $mergeObjects: ['$$entry', closed] }, '$$entry'] },
          },
        },
        ...(end.error === undefined ? {} : { error: end.error }),
        ...end.set,
        ...TOUCH,
      },
    },
    { $set: { finishedAt: finishedAt() } },
    { $unset: ATTEMPT_FIELDS },
  ]
}

/** The end's date on an ended task, nothing on any other. Runs after the stage that wrote `status` and `updatedAt`. */
function finishedAt(): Expression {
  return { $cond: [{ $in: ['$status', ['completed', 'failed', 'cancelled']] }, '$updatedAt', '$$REMOVE'] }
}

/** What was asked for wins over going back to waiting. */
function unlessAsked(status: Expression): Expression {
  return {
    $switch: {
      branches: [
        { case: CANCEL_ASKED, then: TRANSITIONS.stop.to },
        { case: PAUSE_ASKED, then: TRANSITIONS.suspend.to },
      ],
      default: status,
    },
  }
}

const unlessCancelled = (status: Expression): Expression => ({ $cond: [CANCEL_ASKED, TRANSITIONS.stop.to, status] })

export function settle(outcome: Outcome): Pipeline {
  const { to, closes } = TRANSITIONS[outcome.verb]
  const asUsual = { outcome: closes satisfies AttemptOutcome }
  switch (outcome.verb) {
    case 'complete':
      return leaveRunning({ ...asUsual, status: to, set: { output: literal(outcome.output) } })
    case 'retry':
      return leaveRunning({
        ...asUsual,
        error: literal(outcome.error),
        status: unlessAsked({
          $cond: [{ $gte: [{ $add: ['$failures', 1] }, '$maxAttempts'] }, TRANSITIONS.fail.to, to],
        }),
        set: {
          failures: { $min: [{ $add: ['$failures', 1] }, '$maxAttempts'] },
          priority: { $max: [1, { $subtract: ['$priority', 1] }] },
          runAt: fromNow(outcome.delayMs),
          order: fromNow(outcome.delayMs),
        },
      })
    case 'fail':
      return leaveRunning({
        ...asUsual,
        error: literal(outcome.error),
        status: unlessCancelled(to),
        set: { failures: { $min: [{ $add: ['$failures', 1] }, '$maxAttempts'] } },
      })
    case 'snooze':
      return leaveRunning({
        ...asUsual,
        status: unlessAsked(to),
        set: { runAt: fromNow(outcome.delayMs), order: fromNow(outcome.delayMs) },
      })
    case 'release':
      return leaveRunning({ ...asUsual, status: unlessAsked(to) })
    case 'suspend':
      return leaveRunning({ ...asUsual, status: unlessCancelled(to) })
    case 'stop':
      return leaveRunning({ ...asUsual, status: to })
  }
}

const lostError = (code: string, message: string): TaskError => ({
  code,
  name: 'LostError',
  message,
  fingerprint: code.toLowerCase(),
})

/** Takes a task back whose lease has expired by the server's clock; one that has not stays as it is. */
export function reap(): Pipeline {
  const poison = { $gte: [{ $add: ['$lost', 1] }, LOST_LIMIT] }
  const exhausted = { $gte: [{ $add: ['$failures', 1] }, '$maxAttempts'] }
  const error = {
    $cond: [
      poison,
      literal(lostError('POISON', `Its worker died ${LOST_LIMIT} times while running it`)),
      literal(lostError('WORKER_LOST', 'Its worker died or lost touch while running it')),
    ],
  }
  const taken = leaveRunning({
    outcome: TRANSITIONS.reclaim.closes,
    error,
    status: unlessAsked({ $cond: [{ $or: [poison, exhausted] }, TRANSITIONS.expire.to, TRANSITIONS.reclaim.to] }),
    set: {
      failures: { $min: [{ $add: ['$failures', 1] }, '$maxAttempts'] },
      lost: { $min: [{ $add: ['$lost', 1] }, LOST_LIMIT] },
    },
  })
  return onlyIf(hasCome('$lease.expiresAt'), taken)
}

/** A pipeline that changes nothing unless the condition holds, decided by the server within the write. */
function onlyIf(condition: Expression, pipeline: Pipeline): Pipeline {
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

/** A waiting task is ended or held back at once; a running one gets the request for its worker. */
export function asked(control: Control): Pipeline {
  const transition = control.action === 'cancel' ? TRANSITIONS.cancel : TRANSITIONS.pause
  const running = { $eq: ['$status', 'running'] }
  const request = {
    action: control.action,
    by: literal(control.by),
    at: NOW,
    ...(control.reason === undefined ? {} : { reason: literal(control.reason) }),
  }
  // The first request stays as it is, but a pause gives way to a cancel.
  const kept = { $or: [CANCEL_ASKED, { $eq: ['$control.action', control.action] }] }
  return [
    {
      $set: {
        control: { $cond: [{ $and: [running, { $not: [kept] }] }, request, { $ifNull: ['$control', '$$REMOVE'] }] },
        status: { $cond: [running, '$status', transition.to] },
        ...TOUCH,
      },
    },
    { $set: { finishedAt: finishedAt() } },
  ]
}

export function resume(): Pipeline {
  return [{ $set: { status: TRANSITIONS.resume.to, ...TOUCH } }]
}

export function unblock(): Pipeline {
  return [{ $set: { status: TRANSITIONS.unblock.to, ...TOUCH } }]
}

/** All tries again, as it was asked for at first; the attempts' numbers go on. */
export function rerun(): Pipeline {
  return [
    {
      $set: {
        status: TRANSITIONS.rerun.to,
        failures: 0,
        lost: 0,
        priority: '$basePriority',
        runAt: NOW,
        order: NOW,
        ...TOUCH,
      },
    },
    { $unset: ['finishedAt', 'expireAt', 'control'] },
  ]
}
