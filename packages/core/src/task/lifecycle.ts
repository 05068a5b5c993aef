import { type AttemptOutcome, hasEnded, STATUSES, type TaskStatus } from '@taskfleet/protocol'
import type { TaskDocument } from './task-document.ts'

/** Who makes a transition: any client with permission, the worker that claims, the lease's owner, the reaper, or the fleet. */
type Actor = 'client' | 'worker' | 'owner' | 'reaper' | 'fleet'
type Field = keyof TaskDocument

export interface Transition {
  readonly from: readonly TaskStatus[]
  readonly to: TaskStatus
  /** Other statuses that the write may lead to, after a requested cancel or pause, or when the last try has failed. */
  readonly or?: readonly TaskStatus[]
  readonly by: Actor
  /** How the running attempt is closed; only transitions out of `running` close one. */
  readonly closes?: AttemptOutcome
  /** When it happens, for `docs/lifecycle.md`. */
  readonly says: string
}

/** The state machine: the only place that defines transitions. No other write changes `status`. */
export const TRANSITIONS = {
  claim: { from: ['pending'], to: 'running', by: 'worker', says: 'a worker with a free slot claims it' },
  complete: { from: ['running'], to: 'completed', by: 'owner', closes: 'completed', says: 'the handler returned' },
  retry: {
    from: ['running'],
    to: 'pending',
    or: ['failed', 'paused', 'cancelled'],
    by: 'owner',
    closes: 'failed',
    says: 'the attempt failed, tries are left',
  },
  fail: {
    from: ['running'],
    to: 'failed',
    or: ['cancelled'],
    by: 'owner',
    closes: 'failed',
    says: 'the attempt failed, no try is left',
  },
  defer: {
    from: ['running'],
    to: 'pending',
    or: ['paused', 'cancelled'],
    by: 'owner',
    closes: 'deferred',
    says: 'the attempt failed and asked for a later retry',
  },
  snooze: {
    from: ['running'],
    to: 'pending',
    or: ['paused', 'cancelled'],
    by: 'owner',
    closes: 'snoozed',
    says: 'the handler asked to run later',
  },
  release: {
    from: ['running'],
    to: 'pending',
    or: ['paused', 'cancelled'],
    by: 'owner',
    closes: 'released',
    says: 'its worker shuts down',
  },
  suspend: {
    from: ['running'],
    to: 'paused',
    or: ['pending', 'cancelled'],
    by: 'owner',
    closes: 'paused',
    says: 'a pause was requested',
  },
  stop: { from: ['running'], to: 'cancelled', by: 'owner', closes: 'cancelled', says: 'a cancel was requested' },
  reclaim: {
    from: ['running'],
    to: 'pending',
    or: ['failed', 'paused', 'cancelled'],
    by: 'reaper',
    closes: 'lost',
    says: 'its worker is gone',
  },
  expire: {
    from: ['running'],
    to: 'failed',
    or: ['pending', 'paused', 'cancelled'],
    by: 'reaper',
    closes: 'lost',
    says: 'its workers died too many times in a row',
  },
  quarantine: {
    from: ['pending', 'running', 'paused', 'blocked'],
    to: 'failed',
    by: 'fleet',
    closes: 'failed',
    says: 'its document is malformed',
  },
  pause: { from: ['pending'], to: 'paused', by: 'client', says: 'a client pauses it' },
  resume: { from: ['paused'], to: 'pending', by: 'client', says: 'a client resumes it' },
  cancel: { from: ['pending', 'paused', 'blocked'], to: 'cancelled', by: 'client', says: 'a client cancels it' },
  unblock: { from: ['blocked'], to: 'pending', by: 'fleet', says: 'the tasks that it waited for have ended' },
  abandon: { from: ['blocked'], to: 'failed', by: 'fleet', says: 'a task that it waited for failed' },
  skip: {
    from: ['blocked'],
    to: 'cancelled',
    by: 'fleet',
    says: "a task that it waited for failed: `ifFailed: 'cancel'`",
  },
  block: { from: ['pending', 'paused'], to: 'blocked', by: 'client', says: 'a client makes it wait for other tasks' },
  rerun: { from: ['failed', 'cancelled'], to: 'pending', by: 'client', says: 'a client retries it' },
  rewait: {
    from: ['failed', 'cancelled'],
    to: 'blocked',
    by: 'client',
    says: 'a client retries it, and a task that it waits for has not completed',
  },
} as const satisfies Record<string, Transition>

export type Verb = keyof typeof TRANSITIONS

/** The fields that say what a task waits for. */
const AWAITED = ['predecessors', 'after', 'ifFailed'] as const
/** The fields that are set or removed when a task ends. */
const END = ['finishedAt', 'expireAt', 'raiseAt'] as const
/** The fields that say which worker runs a task. */
const HOLDER = ['lease', 'slot', 'worker', 'publicUrl'] as const
/** The fields that change whenever an attempt ends. */
const LEAVING = [...HOLDER, 'attempts', 'control', ...END] as const
/** What people call a task. A handler gives a title and labels to a task that has none. */
const NAMING = ['title', 'labels'] as const
/** As `LEAVING`, with the owner's latest progress, and the handler's names. */
const SETTLING = [...LEAVING, 'progress', ...NAMING] as const
/** When a task may be claimed, and where first. */
const LATER = ['runAt', 'order', 'affinity'] as const
const ANEW = ['failures', 'lost', 'priority', 'startedAt', 'control', ...LATER, ...END] as const
const BUDGET = ['retry', 'timeout', 'totalTimeout', 'stall', 'maxAttempts'] as const
const WISHES = [
  ...NAMING,
  'input',
  'priority',
  'basePriority',
  'lazy',
  'deadline',
  'raiseAt',
  'deadlineMissedAt',
] as const

/** The fields that the write of a verb may change, beside `status`, `rev` and `updatedAt`. */
export const WRITES: Record<Verb, readonly Field[] | 'everything'> = {
  claim: [...HOLDER, 'host', 'runAt', 'attempt', 'attempts', 'attemptsDropped', 'claimedAt', 'startedAt', 'key'],
  complete: [...SETTLING, 'output', 'lost'],
  retry: [...SETTLING, 'error', 'failures', 'priority', ...LATER],
  fail: [...SETTLING, 'error', 'failures'],
  defer: [...SETTLING, 'error', ...LATER],
  snooze: [...SETTLING, ...LATER],
  release: [...SETTLING, ...LATER],
  suspend: [...SETTLING, ...LATER],
  stop: SETTLING,
  reclaim: [...LEAVING, 'error', 'lost', ...LATER],
  expire: [...LEAVING, 'error', 'lost', ...LATER],
  quarantine: 'everything',
  pause: ['control', ...END],
  resume: ['control', ...LATER],
  cancel: ['control', ...END],
  unblock: AWAITED,
  abandon: ['error', ...END],
  skip: ['error', ...END],
  block: ['control', ...AWAITED, ...LATER],
  rerun: [...ANEW, 'signature'],
  rewait: [...ANEW, 'predecessors', 'signature'],
}

/** Writes that leave a task in its status, and the fields that they may change beside `rev` and `updatedAt`. */
export const OTHER_WRITES = {
  report: ['progress', ...NAMING],
  checkpoint: ['checkpoint', 'checkpointAttempt', 'lost', 'affinity'],
  takeBackLoss: ['attempts', 'lost'],
  raise: ['priority', 'deadlineMissedAt', 'raiseAt'],
  edit: [...WISHES, ...BUDGET, ...LATER, 'queue', 'signature'],
  replace: [...WISHES, ...BUDGET, ...LATER, 'version', 'signature'],
  noteCompleted: ['predecessors'],
} as const satisfies Record<string, readonly Field[]>

const BY_VERB: Record<Verb, Transition> = TRANSITIONS

/**
 * Verbs whose guard includes the lease: all that leave `running`, except `quarantine`. There the lease itself may be malformed,
 * so its guard is the document as it was read.
 */
export function isFenced(verb: Verb): boolean {
  return verb !== 'quarantine' && BY_VERB[verb].from.includes('running')
}

/** The filter of a transition's write: the task's id, the allowed statuses, and the lease if the task is running. */
export function guard<Id>(verb: Verb, id: Id, leaseId?: string | { $in: string[] }): Record<string, unknown> {
  const { from } = BY_VERB[verb]
  const filter: Record<string, unknown> = { _id: id, status: from.length === 1 ? from[0] : { $in: [...from] } }
  if (!isFenced(verb)) return filter
  if (leaseId === undefined) throw new TypeError(`'${verb}' leaves 'running' and needs the lease id`)
  return { ...filter, 'lease.id': leaseId }
}

/** The filter of a write by a running attempt that doesn't end it: progress and checkpoints. */
export function attemptGuard<Id>(id: Id, leaseId: string): Record<string, unknown> {
  return { _id: id, status: 'running', 'lease.id': leaseId }
}

/** The statuses in which a task holds its `key`: no other task in the queue can have it. */
export const OPEN_STATUSES: readonly TaskStatus[] = STATUSES.filter((status) => !hasEnded(status))
export const ENDED_STATUSES: readonly TaskStatus[] = STATUSES.filter(hasEnded)
/** The statuses in which a task's content may still be changed. */
export const WAITING_STATUSES: readonly TaskStatus[] = OPEN_STATUSES.filter((status) => status !== 'running')

/** The verbs that may follow a status. */
export function verbsFrom(status: TaskStatus): Verb[] {
  return (Object.keys(TRANSITIONS) as Verb[]).filter((verb) => BY_VERB[verb].from.includes(status))
}

/** The Mermaid chart of `docs/lifecycle.md`, generated from the table. */
export function lifecycleChart(): string {
  const arrows = (Object.keys(TRANSITIONS) as Verb[]).flatMap((verb) =>
    BY_VERB[verb].from.map((from) => `    ${from} --> ${BY_VERB[verb].to}: ${verb}`),
  )
  const ends = ENDED_STATUSES.map((status) => `    ${status} --> [*]`)
  return ['stateDiagram-v2', '    [*] --> pending: enqueue', '    [*] --> blocked: enqueue', ...arrows, ...ends].join(
    '\n',
  )
}

/** The table of `docs/lifecycle.md`. */
export function lifecycleTable(): string {
  const rows = (Object.keys(TRANSITIONS) as Verb[]).map((verb) => {
    const { from, to, or = [], by, closes, says } = BY_VERB[verb]
    const names = (statuses: readonly TaskStatus[]): string => statuses.map((status) => `\`${status}\``).join(', ')
    const ends = or.length === 0 ? '' : ` (or ${names(or)})`
    return `| \`${verb}\` | ${names(from)} | \`${to}\`${ends} | ${by} | ${closes ?? ''} | ${says} |`
  })
  return ['| verb | from | to | by | closes the attempt as | when |', '|---|---|---|---|---|---|', ...rows].join('\n')
}
