import { PRIORITY_NAMES, type Retention } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { Signature } from '../auth/signing.ts'
import { BUDGET_FIELDS, type Budget, type BudgetChanges } from './budget.ts'
import { TRANSITIONS } from './lifecycle.ts'
import type { Changes, NewTask } from './new-task.ts'
import { type Expression, fromNow, hasCome, laterOf, literals, millis, NOW } from './server-time.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'
import type { Control } from './task-store.ts'
import {
  CANCEL_ASKED,
  ended,
  isSet,
  literal,
  onlyIf,
  PAUSE_ASKED,
  type Pipeline,
  TOUCH,
  URGENT,
} from './update-parts.ts'

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
  return literals(Object.fromEntries(givenBudgets(asked).map((field) => [field, asked[field]])))
}

const givenBudgets = (asked: BudgetChanges) =>
  BUDGET_FIELDS.filter((field) => asked[field] !== undefined && asked[field] !== null)

/** What a new task is, apart from time and place. */
function askedFields(task: NewTask) {
  const { name, version, input, queue, priority, lazy, maxAttempts, after, ifFailed, event, schedule, replayOf } = task
  return {
    ...{ name, version, input, queue, priority, basePriority: priority, lazy, maxAttempts },
    ...{ attempt: 0, failures: 0, lost: 0, attempts: [], attemptsDropped: 0, rev: 1 },
    ...(Object.fromEntries(givenBudgets(task).map((field) => [field, task[field]])) as Omit<Budget, 'maxAttempts'>),
    ...given({ after, ifFailed, event, schedule, replayOf }),
  }
}

export function enqueue(task: NewTask, place: Place, signature?: Signature): Pipeline {
  const runAt =
    task.debounceMs !== undefined ? fromNow(task.debounceMs) : task.runAt === undefined ? NOW : literal(task.runAt)
  return [
    {
      $set: {
        ...literals(askedFields(task)),
        status: place.blocked ? 'blocked' : 'pending',
        runAt,
        order: task.position === 'front' && place.front !== undefined ? literal(place.front) : runAt,
        createdAt: NOW,
        updatedAt: NOW,
        ...(task.deadline === undefined
          ? {}
          : { deadline: literal(task.deadline), raiseAt: raiseAt(task.deadline, place.leadMs) }),
        // A throttled one may run beside the one of the time before.
        ...(task.key === undefined || task.throttleMs !== undefined ? {} : { key: literal(task.key) }),
        ...(task.debounceMs === undefined ? {} : { keyUntil: 'claimed' }),
        ...(place.completed === undefined
          ? {}
          : { predecessors: literal({ completed: place.completed, forgiven: [] }) }),
        ...signed(signature),
      },
    },
  ]
}

/** Whether the server has nothing to compute for a new task, and nothing to compare it with: it is inserted as it is. */
export const isPlain = ({ key, after, position, deadline }: NewTask): boolean =>
  key === undefined && after === undefined && position === 'back' && deadline === undefined

/** The document of a plain task that is stored at that time. */
export function newDocument(task: NewTask, now: Date, signature?: Signature): TaskDocument {
  const runAt = task.runAt ?? now
  const dates = { runAt, order: runAt, createdAt: now, updatedAt: now }
  return { _id: task._id, ...askedFields(task), status: 'pending', ...dates, ...given({ signature }) }
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

const signed = (signature: Signature | undefined): { signature?: Expression } =>
  signature === undefined ? {} : { signature: literal(signature) }

/** What has changed is signed again. */
export const sign = (signature: Signature): Pipeline => [{ $set: signed(signature) }]

/** A newer request with the same key takes the place of one that waits. */
export function replace(task: NewTask, place: Place, signature?: Signature): Pipeline {
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
        ...signed(signature),
        ...TOUCH,
      },
    },
    { $unset: deadline === undefined ? ['deadline', 'raiseAt', 'deadlineMissedAt'] : ['deadlineMissedAt'] },
    ...(notSaid.length === 0 ? [] : [{ $unset: notSaid }]),
  ]
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
        ...given({ lazy }),
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
