import type { Retention } from '@taskfleet/protocol'
import { type AttemptOutcome, PRIORITY_NAMES } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { mendedOnServer } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { BUDGET_FIELDS, type BudgetChanges } from './budget.ts'
import { ENDED_STATUSES, TRANSITIONS } from './lifecycle.ts'
import type { Changes, NewTask } from './new-task.ts'
import type { EndedStatus } from './retention.ts'
import {
  amount,
  type Expression,
  fromNow,
  hasCome,
  isBefore,
  laterOf,
  list,
  millis,
  NOW,
  STAMP,
} from './server-time.ts'
import type { ObjectId, StoredProgress, TaskError } from './task-document.ts'
import type { Claimant, Control, Outcome } from './task-store.ts'

/**
 * The update pipelines of the store. All times are the server's, and every value that a caller made is wrapped in
 * `$literal`: a bare text that starts with `$` would be read as the name of a field.
 */
type Pipeline = mongo.Document[]

const ATTEMPTS_KEPT = 100
const LOST_LIMIT = 3
/** How long a task waits after its second loss, in milliseconds. */
const SUSPECT_WAIT_MS = 250

export const literal = (value: unknown): Expression => ({ $literal: value })
export const TOUCH = { updatedAt: STAMP, rev: { $add: [amount('$rev'), 1] } }
const FAILURES = amount('$failures')
const LOST = amount('$lost')
const MAX_ATTEMPTS = amount('$maxAttempts', 1)
const PRIORITY = amount('$priority', PRIORITY_NAMES.medium)
const CANCEL_ASKED: Expression = { $eq: ['$control.action', 'cancel'] }
const PAUSE_ASKED: Expression = { $eq: ['$control.action', 'pause'] }
/** Whether the running attempt has saved a checkpoint other than the one that it started from. */
const CHECKPOINT_MOVED: Expression = { $eq: ['$checkpointAttempt', '$attempt'] }
/** What belongs to one attempt only. */
const ATTEMPT_FIELDS = ['lease', 'slot', 'worker', 'publicUrl', 'control']
const URGENT = 10
/** Near its deadline a task never falls below high, and past it never below the highest. */
const LEAST_PRIORITY: Expression = {
  $cond: [
    { $ifNull: ['$deadlineMissedAt', false] },
    URGENT,
    { $cond: [{ $and: [isSet('$deadline'), { $eq: ['$raiseAt', '$deadline'] }] }, PRIORITY_NAMES.high, 1] },
  ],
}

function isSet(path: string): Expression {
  return { $ne: [{ $ifNull: [path, null] }, null] }
}

/** Where a new or changed task stands: what the store had to ask the database for. */
export interface Place {
  /** Ahead of all that wait, for `position: 'front'`. */
  front: Date | undefined
  blocked: boolean
  /** Those of `after` that have completed; absent for a task that waits for none. */
  completed?: readonly ObjectId[]
  /** How long before its deadline a task is raised, in milliseconds; a tenth of the time left while unknown. */
  leadMs: number | undefined
}

const laterBy = (delayMs: number): Record<string, Expression> => ({ runAt: fromNow(delayMs), order: fromNow(delayMs) })

function raiseAt(deadline: Date, leadMs: number | undefined): Expression {
  const at = deadline.getTime()
  return leadMs === undefined ? tenthBefore(at) : literal(new Date(at - leadMs))
}

/** A tenth of the time left before a deadline, which is a number of milliseconds; the deadline itself once it has passed. */
function tenthBefore(deadline: Expression): Expression {
  const left = { $max: [0, { $subtract: [deadline, { $toLong: NOW }] }] }
  return { $toDate: { $toLong: { $subtract: [deadline, { $divide: [left, 10] }] } } }
}

/** The task's own budgets, where they were given. */
function budgetFields(asked: BudgetChanges): Record<string, Expression> {
  const given = BUDGET_FIELDS.filter((field) => asked[field] !== undefined && asked[field] !== null)
  return Object.fromEntries(given.map((field) => [field, literal(asked[field])]))
}

export function enqueue(task: NewTask, place: Place): Pipeline {
  const runAt =
    task.debounceMs !== undefined ? fromNow(task.debounceMs) : task.runAt === undefined ? NOW : literal(task.runAt)
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
        ...budgetFields(task),
        attempts: [],
        attemptsDropped: 0,
        rev: 1,
        createdAt: NOW,
        updatedAt: NOW,
        ...(task.deadline === undefined
          ? {}
          : { deadline: literal(task.deadline), raiseAt: raiseAt(task.deadline, place.leadMs) }),
        // A throttled one may run beside the one of the time before.
        ...(task.key === undefined || task.throttleMs !== undefined ? {} : { key: literal(task.key) }),
        ...(task.debounceMs === undefined ? {} : { keyUntil: 'claimed' }),
        ...(task.after === undefined ? {} : { after: literal(task.after) }),
        ...(task.ifFailed === undefined ? {} : { ifFailed: task.ifFailed }),
        ...(place.completed === undefined
          ? {}
          : { predecessors: literal({ completed: place.completed, forgiven: [] }) }),
        ...(task.event === undefined ? {} : { event: literal(task.event) }),
        ...(task.schedule === undefined ? {} : { schedule: literal(task.schedule) }),
        ...(task.replayOf === undefined ? {} : { replayOf: literal(task.replayOf) }),
      },
    },
  ]
}

/**
 * What a claim computes with must be of its type: somebody may have written to the database by hand. Everything else is
 * looked at when the task has come back.
 */
const WELL_FORMED: Expression = {
  $and: [
    { $isArray: ['$attempts'] },
    { $eq: [{ $type: '$runAt' }, 'date'] },
    { $eq: [{ $type: '$updatedAt' }, 'date'] },
    ...['attempt', 'rev', 'failures', 'lost', 'maxAttempts', 'priority'].map((field) => ({ $isNumber: `$${field}` })),
  ],
}

/**
 * Ends a task that can't be understood, and says why, instead of trying it again for ever. What does not fit is replaced,
 * so that whoever reads the task from now on can rely on it.
 */
export function quarantine(retention: Retention, problem: string): Pipeline {
  const { _id, rev, updatedAt, status, lease, ...fields } = mendedOnServer(SHAPES.tasks)
  return [
    {
      $set: {
        ...fields,
        status: TRANSITIONS.quarantine.to,
        error: literal(
          fleetError('CORRUPT', `Its document is not what a task looks like; somebody changed it by hand: ${problem}`),
        ),
        rev: { $add: [rev, 1] },
        updatedAt: NOW,
      },
    },
    { $set: { ...ended(retention), attempts: closedAttempts({ outcome: TRANSITIONS.quarantine.closes }) } },
    { $unset: ATTEMPT_FIELDS },
  ]
}

/** The attempts with the open one closed. */
function closedAttempts({ outcome, error }: { outcome: Expression; error?: Expression }): Expression {
  const closed = { endedAt: laterOf(STAMP, '$$entry.claimedAt'), outcome, ...(error === undefined ? {} : { error }) }
  // What is no object has no `n`, and so nothing is merged with it.
  const isOpen = {
    $and: [{ $eq: ['$$entry.n', '$attempt'] }, { $eq: [{ $ifNull: ['$$entry.outcome', null] }, null] }],
  }
  return {
    $map: {
      input: list('$attempts'),
      as: 'entry',
      in: { $cond: [isOpen, { $mergeObjects: ['$$entry', closed] }, '$$entry'] },
    },
  }
}

/** Only what is due by the server's own clock changes; the rest is matched and left as it was. */
export function claim(leaseId: string, claimant: Claimant): Pipeline {
  const n = { $add: ['$attempt', 1] }
  const entry = { n, worker: literal(claimant.worker), lease: literal(leaseId), claimedAt: STAMP }
  const mine = { $eq: ['$lease.id', literal(leaseId)] }
  const claimed = {
    status: TRANSITIONS.claim.to,
    attempt: n,
    attempts: { $slice: [{ $concatArrays: ['$attempts', [entry]] }, -ATTEMPTS_KEPT] },
    attemptsDropped: { $max: [0, { $subtract: [n, ATTEMPTS_KEPT] }] },
    lease: { id: literal(leaseId), session: literal(claimant.worker) },
    worker: literal(claimant.worker),
    ...(claimant.slot === undefined ? {} : { slot: literal(claimant.slot) }),
    claimedAt: STAMP,
    startedAt: { $ifNull: ['$startedAt', STAMP] },
    ...TOUCH,
    ...(claimant.publicBase === undefined
      ? {}
      : { publicUrl: { $concat: [literal(`${claimant.publicBase}/tasks/`), { $toString: '$_id' }] } }),
  }
  const inTime = claimant.notAfter === undefined ? [] : [isBefore(claimant.notAfter)]
  return [
    {
      $replaceWith: {
        $cond: [
          WELL_FORMED,
          {
            // An `$and` may look at all of its parts, and one that fails would fail the claim of all the others.
            $cond: [{ $and: [hasCome('$runAt'), ...inTime] }, { $mergeObjects: ['$$ROOT', claimed] }, '$$ROOT'],
          },
          '$$ROOT',
        ],
      },
    },
    // A merge can't take a field away.
    { $set: { key: { $cond: [{ $and: [mine, { $eq: ['$keyUntil', 'claimed'] }] }, '$$REMOVE', '$key'] } } },
  ]
}

export function report(progress: StoredProgress | undefined): Pipeline {
  return [{ $set: { ...TOUCH, ...(progress === undefined ? {} : { progress: literal(progress) }) } }]
}

/**
 * Whether the checkpoint has moved in this attempt is decided here, by what is stored: it holds after the worker's death. A task
 * that gets on is no suspect any more: `lost` begins anew.
 */
export function checkpoint(state: unknown): Pipeline {
  const moved = { $ne: [{ $ifNull: ['$before', null] }, '$checkpoint'] }
  return [
    { $set: { before: '$checkpoint', checkpoint: literal(state), ...TOUCH } },
    {
      $set: {
        checkpointAttempt: { $cond: [moved, '$attempt', { $ifNull: ['$checkpointAttempt', '$$REMOVE'] }] },
        lost: { $cond: [moved, 0, '$lost'] },
      },
    },
    { $unset: ['before'] },
  ]
}

/** Closes the running attempt. `outcome` and `status` are expressions, since a cancel that was asked for wins. */
function leaveRunning(end: {
  status: Expression
  outcome: Expression
  error?: Expression
  set?: Record<string, Expression>
  retention: Retention
}): Pipeline {
  return [
    {
      $set: {
        status: end.status,
        attempts: closedAttempts(end),
        ...(end.error === undefined ? {} : { error: end.error }),
        ...end.set,
        ...TOUCH,
      },
    },
    { $set: ended(end.retention) },
    { $unset: ATTEMPT_FIELDS },
  ]
}

/** What an ended task has and no other. Runs after the stage that wrote `status` and `updatedAt`. */
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

/** @param progress what the attempt reported last, which the regular reports may not have stored yet */
export function settle(outcome: Outcome, retention: Retention, progress?: StoredProgress): Pipeline {
  const end = endOf(outcome, retention)
  return progress === undefined ? end : [{ $set: { progress: literal(progress) } }, ...end]
}

function endOf(outcome: Outcome, retention: Retention): Pipeline {
  const { to, closes } = TRANSITIONS[outcome.verb]
  const asUsual = { outcome: closes satisfies AttemptOutcome, retention }
  switch (outcome.verb) {
    case 'complete':
      return leaveRunning({ ...asUsual, status: to, set: { output: literal(outcome.output), lost: 0 } })
    case 'retry': {
      const spared = outcome.counts === 'without-progress' ? CHECKPOINT_MOVED : false
      const failures = { $cond: [spared, 0, { $min: [{ $add: [FAILURES, 1] }, MAX_ATTEMPTS] }] }
      const lowered = { $max: [{ $min: [LEAST_PRIORITY, PRIORITY] }, { $subtract: [PRIORITY, 1] }] }
      return leaveRunning({
        ...asUsual,
        error: literal(outcome.error),
        status: unlessCancelled({
          $cond: [{ $gte: [failures, MAX_ATTEMPTS] }, TRANSITIONS.fail.to, unlessAsked(to)],
        }),
        set: {
          failures,
          // What its deadline gave it stays.
          priority: {
            $cond: [spared, { $max: [PRIORITY, '$basePriority'] }, outcome.decay ? lowered : '$priority'],
          },
          ...laterBy(outcome.delayMs),
        },
      })
    }
    case 'defer':
      return leaveRunning({
        ...asUsual,
        error: literal(outcome.error),
        status: unlessAsked(to),
        set: laterBy(outcome.delayMs),
      })
    case 'fail':
      return leaveRunning({
        ...asUsual,
        error: literal(outcome.error),
        status: unlessCancelled(to),
        set: { failures: { $min: [{ $add: [FAILURES, 1] }, MAX_ATTEMPTS] } },
      })
    case 'snooze':
      return leaveRunning({
        ...asUsual,
        status: unlessAsked(to),
        set: laterBy(outcome.delayMs),
      })
    case 'release':
      return leaveRunning({
        ...asUsual,
        status: unlessAsked(to),
        ...(outcome.delayMs === undefined
          ? {}
          : { set: { runAt: fromNow(outcome.delayMs), order: fromNow(outcome.delayMs) } }),
      })
    case 'suspend':
      // Somebody may have let it go on before it had stopped.
      return leaveRunning({ ...asUsual, status: unlessCancelled({ $cond: [PAUSE_ASKED, to, TRANSITIONS.resume.to] }) })
    case 'stop':
      return leaveRunning({ ...asUsual, status: to })
  }
}

/** Completes each of the tasks with the output at its place, and the progress where there is one. */
export function completeAll(
  ids: readonly ObjectId[],
  outputs: readonly unknown[],
  retention: Retention,
  progress: readonly (StoredProgress | undefined)[] = [],
): Pipeline {
  const { to, closes } = TRANSITIONS.complete
  const place = { $indexOfArray: [literal(ids), '$_id'] }
  const own = (values: readonly unknown[]): Expression => ({ $arrayElemAt: [literal(values), place] })
  const output = outputs.every((one) => one === outputs[0]) ? literal(outputs[0]) : own(outputs)
  const reported = progress.some((one) => one !== undefined)
    ? { progress: { $ifNull: [own(progress.map((one) => one ?? null)), '$progress'] } }
    : {}
  return leaveRunning({ outcome: closes, retention, status: to, set: { output, lost: 0, ...reported } })
}

const fleetError = (code: string, message: string): TaskError => ({
  code,
  name: 'FleetError',
  message,
  fingerprint: code.toLowerCase(),
})

/**
 * Takes a task back whose worker is gone. A loss is no failure: it costs no try. But a task whose workers die again and again waits
 * for longer each time, and is given up after the third.
 *
 * @param evidence what is known of the worker's end
 * @param dated a lease of an earlier version, which must have expired by the server's clock
 */
export function reap(retention: Retention, evidence: string, { dated = false }: { dated?: boolean } = {}): Pipeline {
  const poison = { $gte: [{ $add: [LOST, 1] }, LOST_LIMIT] }
  const waitMs = { $multiply: [SUSPECT_WAIT_MS, { $pow: [4, LOST] }] }
  const again = { $dateAdd: { startDate: NOW, unit: 'millisecond', amount: { $toLong: waitMs } } }
  const error = {
    $cond: [
      poison,
      literal(
        fleetError(
          'POISON',
          `Its worker died ${LOST_LIMIT} times in a row while running it. The last time: ${evidence}`,
        ),
      ),
      literal(fleetError('WORKER_LOST', evidence)),
    ],
  }
  const taken = leaveRunning({
    retention,
    outcome: TRANSITIONS.reclaim.closes,
    error,
    status: unlessCancelled({ $cond: [poison, TRANSITIONS.expire.to, unlessAsked(TRANSITIONS.reclaim.to)] }),
    set: {
      lost: { $min: [{ $add: [LOST, 1] }, LOST_LIMIT] },
      // The first loss is most often its worker's own: it runs elsewhere at once.
      runAt: { $cond: [{ $gte: [LOST, 1] }, again, '$runAt'] },
    },
  })
  return dated ? onlyIf(hasCome('$lease.expiresAt'), taken) : taken
}

/** The attempt under this lease was counted as lost, and its worker lives. */
export function takeBackLoss(leaseId: string): Pipeline {
  const lived = { $mergeObjects: ['$$entry', { survived: true }] }
  const attempts = {
    $map: {
      input: list('$attempts'),
      as: 'entry',
      in: { $cond: [{ $eq: ['$$entry.lease', literal(leaseId)] }, lived, '$$entry'] },
    },
  }
  return [{ $set: { attempts, lost: { $max: [0, { $subtract: [LOST, 1] }] }, ...TOUCH } }]
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
export function asked(control: Control, retention: Retention): Pipeline {
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
    { $set: ended(retention) },
  ]
}

/** Lets a paused task go on, or takes back a pause that its worker has not carried out yet. */
export function resume(): Pipeline {
  return [
    {
      $set: {
        status: { $cond: [{ $eq: ['$status', 'paused'] }, TRANSITIONS.resume.to, '$status'] },
        control: { $cond: [PAUSE_ASKED, '$$REMOVE', '$control'] },
        ...TOUCH,
      },
    },
  ]
}

/** Raises what nears its deadline to high, and what has reached it to the highest. */
export function raise(): Pipeline {
  const missed = hasCome('$deadline')
  return onlyIf(hasCome('$raiseAt'), [
    {
      $set: {
        priority: { $cond: [missed, URGENT, { $max: ['$priority', PRIORITY_NAMES.high] }] },
        deadlineMissedAt: { $cond: [missed, NOW, '$$REMOVE'] },
        raiseAt: { $cond: [missed, '$$REMOVE', '$deadline'] },
        ...TOUCH,
      },
    },
  ])
}

export function edit(changes: Changes, place: Pick<Place, 'front' | 'leadMs'>): Pipeline {
  const { priority, runAt, deadline, queue, lazy, maxAttempts } = changes
  const order = changes.position === 'front' && place.front !== undefined ? place.front : runAt
  const takenAway = BUDGET_FIELDS.filter((field) => changes[field] === null)
  return [
    {
      $set: {
        ...(priority === undefined ? {} : { priority, basePriority: priority }),
        ...(runAt === undefined ? {} : { runAt: literal(runAt) }),
        ...(order === undefined
          ? changes.position === 'back'
            ? { order: laterOf(NOW, '$runAt') }
            : {}
          : { order: literal(order) }),
        ...(queue === undefined ? {} : { queue: literal(queue) }),
        ...('input' in changes ? { input: literal(changes.input) } : {}),
        ...(lazy === undefined ? {} : { lazy }),
        ...(maxAttempts === undefined ? {} : { maxAttempts: { $max: [maxAttempts, '$failures'] } }),
        ...budgetFields(changes),
        ...(deadline === undefined || deadline === null
          ? {}
          : { deadline: literal(deadline), raiseAt: raiseAt(deadline, place.leadMs) }),
        ...TOUCH,
      },
    },
    ...(deadline === undefined
      ? []
      : [{ $unset: deadline === null ? ['deadline', 'raiseAt', 'deadlineMissedAt'] : ['deadlineMissedAt'] }]),
    ...(takenAway.length === 0 ? [] : [{ $unset: takenAway }]),
  ]
}

/** The time of a throttled key begins with whoever comes first after the last one's end. */
export function throttle(task: ObjectId, ms: number): Pipeline {
  const over = {
    $or: [{ $lte: [millis('$until', 0), { $toLong: NOW }] }, { $ne: [{ $type: '$task' }, 'objectId'] }],
  }
  return [
    {
      $set: {
        task: { $cond: [over, literal(task), '$task'] },
        until: { $cond: [over, fromNow(ms), '$until'] },
      },
    },
  ]
}

/** A newer request with the same key takes the place of one that waits. */
export function replace(task: NewTask, place: Place): Pipeline {
  const asked = (enqueue(task, place)[0] as { $set: Record<string, Expression> }).$set
  const { runAt, order, input, version, priority, basePriority, lazy, deadline, raiseAt } = asked
  const notSaid = BUDGET_FIELDS.filter((field) => task[field] === undefined)
  return [
    {
      $set: {
        ...{ runAt, order, input, version, priority, basePriority, lazy },
        maxAttempts: { $max: [task.maxAttempts, '$failures'] },
        ...budgetFields(task),
        ...(deadline === undefined ? {} : { deadline, raiseAt }),
        ...TOUCH,
      },
    },
    { $unset: deadline === undefined ? ['deadline', 'raiseAt', 'deadlineMissedAt'] : ['deadlineMissedAt'] },
    ...(notSaid.length === 0 ? [] : [{ $unset: notSaid }]),
  ]
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
        raiseAt: {
          $cond: [
            { $or: [isSet('$deadlineMissedAt'), { $ne: [{ $type: '$deadline' }, 'date'] }] },
            '$$REMOVE',
            tenthBefore(millis('$deadline')),
          ],
        },
        ...TOUCH,
      },
    },
    { $unset: ['finishedAt', 'startedAt', 'expireAt', 'control'] },
  ]
}
