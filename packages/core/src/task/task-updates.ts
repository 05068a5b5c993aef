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
  anywhere,
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

/** The position and state of a new or changed task, which the store reads from the database first. */
export interface Place {
  /** Before all waiting tasks, for `position: 'front'`. */
  front: Date | undefined
  blocked: boolean
  /** The tasks in `after` that have completed; absent for a task without `after`. */
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

/** The task's own limits, if given. */
function budgetFields(asked: BudgetChanges): Record<string, Expression> {
  return literals(Object.fromEntries(givenBudgets(asked).map((field) => [field, asked[field]])))
}

const NAMING_FIELDS = ['title', 'labels'] as const

const naming = ({ title, labels }: Pick<Changes, 'title' | 'labels'>): Record<string, Expression> =>
  literals(given({ title: title ?? undefined, labels: labels ?? undefined }))

const givenBudgets = (asked: BudgetChanges) =>
  BUDGET_FIELDS.filter((field) => asked[field] !== undefined && asked[field] !== null)

/** The fields of a new task, except its times and its position. */
function askedFields(task: NewTask) {
  const { name, version, input, queue, priority, lazy, maxAttempts } = task
  const { title, labels, after, ifFailed, event, schedule, replayOf } = task
  return {
    ...{ name, version, input, queue, priority, basePriority: priority, lazy, maxAttempts },
    ...{ attempt: 0, failures: 0, lost: 0, attempts: [], attemptsDropped: 0, rev: 1 },
    ...(Object.fromEntries(givenBudgets(task).map((field) => [field, task[field]])) as Omit<Budget, 'maxAttempts'>),
    ...given({ title, labels, after, ifFailed, event, schedule, replayOf }),
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
        // A throttled task doesn't hold its key, so it may run beside the task of the previous period.
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

/** Whether a new task can be inserted as it is: the server doesn't have to compute or compare anything. */
export const isPlain = ({ key, after, position, deadline }: NewTask): boolean =>
  key === undefined && after === undefined && position === 'back' && deadline === undefined

/** The document of a plain task. */
export function newDocument(task: NewTask, now: Date, signature?: Signature): TaskDocument {
  const runAt = task.runAt ?? now
  const dates = { runAt, order: runAt, createdAt: now, updatedAt: now }
  return { _id: task._id, ...askedFields(task), status: 'pending', ...dates, ...given({ signature }) }
}

/** A throttle period begins with the first request after the end of the previous period. */
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

/** Stores a new signature after a change. */
export const sign = (signature: Signature): Pipeline => [{ $set: signed(signature) }]

/** A newer request with the same key replaces the waiting task. */
export function replace(task: NewTask, place: Place, signature?: Signature): Pipeline {
  const asked = (enqueue(task, place)[0] as { $set: Record<string, Expression> }).$set
  const { runAt, order, input, version, priority, basePriority, lazy, deadline, raiseAt } = asked
  const notSaid = [...BUDGET_FIELDS, ...NAMING_FIELDS].filter((field) => task[field] === undefined)
  return [
    {
      $set: {
        ...{ runAt, order, input, version, priority, basePriority, lazy },
        maxAttempts: { $max: [task.maxAttempts, '$failures'] },
        ...budgetFields(task),
        ...naming(task),
        ...(deadline === undefined ? {} : { deadline, raiseAt }),
        ...signed(signature),
        ...TOUCH,
      },
    },
    { $unset: deadline === undefined ? ['deadline', 'raiseAt', 'deadlineMissedAt'] : ['deadlineMissedAt'] },
    ...(notSaid.length === 0 ? [] : [{ $unset: notSaid }]),
    ...anywhere(),
  ]
}

export function edit(changes: Changes, place: Pick<Place, 'front' | 'leadMs'>): Pipeline {
  const { priority, runAt, deadline, queue, lazy, maxAttempts } = changes
  const order = changes.position === 'front' && place.front !== undefined ? place.front : runAt
  const takenAway = [...BUDGET_FIELDS, ...NAMING_FIELDS].filter((field) => changes[field] === null)
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
        ...naming(changes),
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
    ...(runAt === undefined ? [] : anywhere()),
  ]
}

/** Ends or pauses a waiting task at once. For a running task, stores the request for its worker. */
export function asked(control: Control, retention: Retention): Pipeline {
  const transition = control.action === 'cancel' ? TRANSITIONS.cancel : TRANSITIONS.pause
  const running = { $eq: ['$status', 'running'] }
  const request = {
    action: control.action,
    by: literal(control.by),
    at: NOW,
    ...(control.reason === undefined ? {} : { reason: literal(control.reason) }),
  }
  // The first request stays, but a cancel replaces a pause.
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

/** Resumes a paused task, or withdraws a pause that its worker has not carried out yet. */
export function resume(): Pipeline {
  return [
    {
      $set: {
        status: { $cond: [{ $eq: ['$status', 'paused'] }, TRANSITIONS.resume.to, '$status'] },
        control: { $cond: [PAUSE_ASKED, '$$REMOVE', '$control'] },
        ...TOUCH,
      },
    },
    ...firstAtItsPlace(),
  ]
}

/** Raises tasks near their deadline to high, and tasks past their deadline to the highest priority. */
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

/** Restores all tries and the original priority. The numbers of the attempts go on. */
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
    ...firstAtItsPlace(),
  ]
}
