import type { AttemptOutcome, Retention } from '@taskfleet/protocol'
import { PRIORITY_NAMES } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { mendedOnServer } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { TRANSITIONS } from './lifecycle.ts'
import { amount, type Expression, fromNow, hasCome, isBefore, laterOf, list, NOW, STAMP } from './server-time.ts'
import type { ObjectId, StoredProgress, TaskError } from './task-document.ts'
import type { Affinity, Claimant, Naming, Outcome } from './task-store.ts'
import {
  CANCEL_ASKED,
  ended,
  firstAtItsPlace,
  isSet,
  literal,
  onlyIf,
  PAUSE_ASKED,
  type Pipeline,
  TOUCH,
  URGENT,
} from './update-parts.ts'

const ATTEMPTS_KEPT = 100
const LOST_LIMIT = 3
/** How long a task waits after its second loss, in milliseconds. */
const SUSPECT_WAIT_MS = 250

const FAILURES = amount('$failures')
const LOST = amount('$lost')
const MAX_ATTEMPTS = amount('$maxAttempts', 1)
const PRIORITY = amount('$priority', PRIORITY_NAMES.medium)
/** Whether the running attempt has saved a checkpoint other than the one that it started from. */
const CHECKPOINT_MOVED: Expression = { $eq: ['$checkpointAttempt', '$attempt'] }
/** The fields that belong to one attempt only. */
const ATTEMPT_FIELDS = ['lease', 'slot', 'worker', 'publicUrl', 'control']
/** A task near its deadline keeps at least `high`. A task past its deadline keeps the highest priority. */
const LEAST_PRIORITY: Expression = {
  $cond: [
    { $ifNull: ['$deadlineMissedAt', false] },
    URGENT,
    { $cond: [{ $and: [isSet('$deadline'), { $eq: ['$raiseAt', '$deadline'] }] }, PRIORITY_NAMES.high, 1] },
  ],
}

const laterBy = (delayMs: number): Record<string, Expression> => ({ runAt: fromNow(delayMs), order: fromNow(delayMs) })

/**
 * Ends a malformed task with an error that gives the reason, instead of retrying it forever. Malformed fields are
 * replaced, so that later readers can rely on the task's shape.
 */
export function quarantine(retention: Retention, problem: string): Pipeline {
  const { _id, rev, updatedAt, status, lease, ...fields } = mendedOnServer(SHAPES.tasks)
  return [
    {
      $set: {
        ...fields,
        status: TRANSITIONS.quarantine.to,
        error: literal(fleetError('CORRUPT', `The task's document is malformed; it was changed by hand: ${problem}`)),
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
  const closed = { endedAt: laterOf(STAMP, '$$entry.claimedAt'), outcome, ...given({ error }) }
  // An entry that is not an object has no `n`, so it is left as it is.
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

/**
 * The fields that a claim computes with must have the right types, since documents can be edited by hand. All other
 * fields are checked when the claimed task is read.
 */
const WELL_FORMED: Expression = {
  $and: [
    { $isArray: ['$attempts'] },
    { $eq: [{ $type: '$runAt' }, 'date'] },
    { $eq: [{ $type: '$updatedAt' }, 'date'] },
    ...['attempt', 'rev', 'failures', 'lost', 'maxAttempts', 'priority'].map((field) => ({ $isNumber: `$${field}` })),
  ],
}

/** Claims only tasks that are due by the server's clock, or due at one of the claimant's places. The write matches other tasks too, but leaves them unchanged. */
export function claim(leaseId: string, claimant: Claimant): Pipeline {
  const { places = [] } = claimant
  const n = { $add: ['$attempt', 1] }
  const worker = literal(claimant.worker)
  const host = literal(claimant.host)
  const entry = { n, worker, host, lease: literal(leaseId), claimedAt: STAMP }
  const mine = { $eq: ['$lease.id', literal(leaseId)] }
  const claimed = {
    status: TRANSITIONS.claim.to,
    attempt: n,
    attempts: { $slice: [{ $concatArrays: ['$attempts', [entry]] }, -ATTEMPTS_KEPT] },
    attemptsDropped: { $max: [0, { $subtract: [n, ATTEMPTS_KEPT] }] },
    lease: { id: literal(leaseId), session: worker },
    worker,
    host,
    ...(claimant.slot === undefined ? {} : { slot: literal(claimant.slot) }),
    claimedAt: STAMP,
    startedAt: { $ifNull: ['$startedAt', STAMP] },
    // For the next attempt, and for all who read how long it has waited.
    ...(places.length === 0 ? {} : { runAt: { $cond: [hasCome('$runAt'), '$runAt', '$affinity.since'] } }),
    ...TOUCH,
    ...(claimant.publicBase === undefined
      ? {}
      : { publicUrl: { $concat: [literal(`${claimant.publicBase}/tasks/`), { $toString: '$_id' }] } }),
  }
  const inTime = claimant.notAfter === undefined ? [] : [isBefore(claimant.notAfter)]
  const atItsPlace = { $and: [{ $in: ['$affinity.place', literal(places)] }, hasCome('$affinity.since')] }
  const due = places.length === 0 ? hasCome('$runAt') : { $or: [hasCome('$runAt'), atItsPlace] }
  return [
    {
      $replaceWith: {
        $cond: [
          WELL_FORMED,
          {
            // `$and` may evaluate all of its parts. An error in one would fail the claim of all tasks, so it is nested.
            $cond: [{ $and: [due, ...inTime] }, { $mergeObjects: ['$$ROOT', claimed] }, '$$ROOT'],
          },
          '$$ROOT',
        ],
      },
    },
    // `$mergeObjects` can't remove a field.
    { $set: { key: { $cond: [{ $and: [mine, { $eq: ['$keyUntil', 'claimed'] }] }, '$$REMOVE', '$key'] } } },
  ]
}

export function report({ progress, naming }: Reported): Pipeline {
  return [{ $set: { ...TOUCH, ...reported({ progress, naming }) } }]
}

/** What an attempt reports of its task: the latest progress, and a title and labels for a task that has none. */
export interface Reported {
  progress?: StoredProgress | undefined
  naming?: Naming | undefined
}

const reported = ({ progress, naming = {} }: Reported): Record<string, Expression> => ({
  ...(progress === undefined ? {} : { progress: literal(progress) }),
  ...Object.fromEntries(
    Object.entries(naming).map(([field, value]) => [field, { $ifNull: [`$${field}`, literal(value)] }]),
  ),
})

/**
 * Compares with the stored checkpoint to see whether this attempt has changed it, so the answer survives the worker's death.
 * A task that makes progress is no longer a suspect: `lost` is reset.
 *
 * @param affinity where the checkpoint is of use; anywhere by default
 */
export function checkpoint(state: unknown, affinity?: Affinity): Pipeline {
  const moved = { $ne: [{ $ifNull: ['$before', null] }, '$checkpoint'] }
  return [
    { $set: { before: '$checkpoint', checkpoint: literal(state), ...TOUCH } },
    ...(affinity === undefined
      ? [{ $unset: ['affinity'] }]
      : [{ $set: { affinity: { place: literal(affinity.place), host: '$host', ms: literal(affinity.ms) } } }]),
    {
      $set: {
        checkpointAttempt: { $cond: [moved, '$attempt', { $ifNull: ['$checkpointAttempt', '$$REMOVE'] }] },
        lost: { $cond: [moved, 0, '$lost'] },
      },
    },
    { $unset: ['before'] },
  ]
}

/** Closes an attempt whose task may run again. */
const waitAgain = (end: Parameters<typeof leaveRunning>[0]): Pipeline => [...leaveRunning(end), ...firstAtItsPlace()]

/** Closes the running attempt. `outcome` and `status` are expressions, because a requested cancel takes precedence. */
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
        ...given({ error: end.error }),
        ...end.set,
        ...TOUCH,
      },
    },
    { $set: ended(end.retention) },
    { $unset: ATTEMPT_FIELDS },
  ]
}

/** A requested cancel or pause takes precedence over going back to `pending`. */
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

/** @param last what the regular reports may not have stored yet */
export function settle(outcome: Outcome, retention: Retention, last: Reported = {}): Pipeline {
  const end = endOf(outcome, retention)
  const set = reported(last)
  return Object.keys(set).length === 0 ? end : [{ $set: set }, ...end]
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
      return waitAgain({
        ...asUsual,
        error: literal(outcome.error),
        status: unlessCancelled({
          $cond: [{ $gte: [failures, MAX_ATTEMPTS] }, TRANSITIONS.fail.to, unlessAsked(to)],
        }),
        set: {
          failures,
          // A priority that was raised for the deadline stays.
          priority: {
            $cond: [spared, { $max: [PRIORITY, '$basePriority'] }, outcome.decay ? lowered : '$priority'],
          },
          ...laterBy(outcome.delayMs),
        },
      })
    }
    case 'defer':
      return waitAgain({
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
      return waitAgain({
        ...asUsual,
        status: unlessAsked(to),
        set: laterBy(outcome.delayMs),
      })
    case 'release':
      return waitAgain({
        ...asUsual,
        status: unlessAsked(to),
        ...(outcome.delayMs === undefined
          ? {}
          : { set: { runAt: fromNow(outcome.delayMs), order: fromNow(outcome.delayMs) } }),
      })
    case 'suspend':
      // The task may have been resumed before the attempt had stopped.
      return waitAgain({ ...asUsual, status: unlessCancelled({ $cond: [PAUSE_ASKED, to, TRANSITIONS.resume.to] }) })
    case 'stop':
      return leaveRunning({ ...asUsual, status: to })
  }
}

/** Completes each task with the output at the same index, and with what was last reported there. */
export function completeAll(
  ids: readonly ObjectId[],
  outputs: readonly unknown[],
  retention: Retention,
  last: readonly Reported[] = [],
): Pipeline {
  const { to, closes } = TRANSITIONS.complete
  const place = { $indexOfArray: [literal(ids), '$_id'] }
  const own = (values: readonly unknown[]): Expression => ({ $arrayElemAt: [literal(values), place] })
  const output = outputs.every((one) => one === outputs[0]) ? literal(outputs[0]) : own(outputs)
  const progress = last.map((one) => one.progress)
  const set: Record<string, Expression> = {}
  if (progress.some(isGiven)) set.progress = { $ifNull: [own(progress.map(orNull)), '$progress', '$$REMOVE'] }
  for (const field of ['title', 'labels'] as const) {
    const values = last.map(({ naming }) => naming?.[field])
    if (values.some(isGiven)) set[field] = { $ifNull: [`$${field}`, own(values.map(orNull)), '$$REMOVE'] }
  }
  return leaveRunning({ outcome: closes, retention, status: to, set: { output, lost: 0, ...set } })
}

const isGiven = (value: unknown): boolean => value !== undefined
const orNull = (value: unknown): unknown => value ?? null

const fleetError = (code: string, message: string): TaskError => ({
  code,
  name: 'FleetError',
  message,
  fingerprint: code.toLowerCase(),
})

/**
 * Takes back a task whose worker is gone. A loss is not a failure and costs no try. A task whose workers die repeatedly waits
 * longer after each loss, and fails after the third.
 *
 * @param evidence what is known about the worker's end
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
  const taken = waitAgain({
    retention,
    outcome: TRANSITIONS.reclaim.closes,
    error,
    status: unlessCancelled({ $cond: [poison, TRANSITIONS.expire.to, unlessAsked(TRANSITIONS.reclaim.to)] }),
    set: {
      lost: { $min: [{ $add: [LOST, 1] }, LOST_LIMIT] },
      // The first loss is usually the worker's fault, so the task may run elsewhere at once.
      runAt: { $cond: [{ $gte: [LOST, 1] }, again, '$runAt'] },
    },
  })
  return dated ? onlyIf(hasCome('$lease.expiresAt'), taken) : taken
}

/** Undoes a loss: the attempt with this lease was counted as lost, but its worker is alive. */
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
