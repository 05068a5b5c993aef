import { type AttemptOutcome, hasEnded, STATUSES, type TaskStatus } from '@taskfleet/protocol'
import type { TaskDocument } from './task-document.ts'

/** Who may make a transition: anybody with the right to, the holder of the task's lease, or the reaper. */
type Actor = 'client' | 'worker' | 'owner' | 'reaper' | 'fleet'
type Field = keyof TaskDocument

export interface Transition {
  readonly from: readonly TaskStatus[]
  readonly to: TaskStatus
  /** Where its write may lead instead: what was asked for meanwhile wins, and so does the last try that failed. */
  readonly or?: readonly TaskStatus[]
  readonly by: Actor
  /** How the running attempt is closed; only transitions out of `running` close one. */
  readonly closes?: AttemptOutcome
  /** What it means, for `docs/lifecycle.md`. */
  readonly says: string
}

/** The state machine. Nothing else says from where to where, and no other write touches `status`. */
export const TRANSITIONS = {
  claim: { from: ['pending'], to: 'running', by: 'worker', says: 'a worker with a free slot takes it up' },
  complete: { from: ['running'], to: 'completed', by: 'owner', closes: 'completed', says: 'the handler returned' },
  retry: {
    from: ['running'],
    to: 'pending',
    or: ['failed', 'paused', 'cancelled'],
    by: 'owner',
    closes: 'failed',
    says: 'it failed, tries are left',
  },
  fail: {
    from: ['running'],
    to: 'failed',
    or: ['cancelled'],
    by: 'owner',
    closes: 'failed',
    says: 'it failed, no try is left',
  },
  defer: {
    from: ['running'],
    to: 'pending',
    or: ['paused', 'cancelled'],
    by: 'owner',
    closes: 'deferred',
    says: 'it failed and asked to be tried later',
  },
  snooze: {
    from: ['running'],
    to: 'pending',
    or: ['paused', 'cancelled'],
    by: 'owner',
    closes: 'snoozed',
    says: 'the handler asked for later',
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
    says: 'a pause was asked for',
  },
  stop: { from: ['running'], to: 'cancelled', by: 'owner', closes: 'cancelled', says: 'a cancel was asked for' },
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
    says: 'its workers died with it once too often',
  },
  quarantine: {
    from: ['pending', 'running', 'paused', 'blocked'],
    to: 'failed',
    by: 'fleet',
    closes: 'failed',
    says: 'its document can not be understood',
  },
  pause: { from: ['pending'], to: 'paused', by: 'client', says: 'somebody holds it back' },
  resume: { from: ['paused'], to: 'pending', by: 'client', says: 'somebody lets it go on' },
  cancel: { from: ['pending', 'paused', 'blocked'], to: 'cancelled', by: 'client', says: 'somebody called it off' },
  unblock: { from: ['blocked'], to: 'pending', by: 'fleet', says: 'what it waited for is over' },
  abandon: { from: ['blocked'], to: 'failed', by: 'fleet', says: 'a task that it waited for failed' },
  skip: {
    from: ['blocked'],
    to: 'cancelled',
    by: 'fleet',
    says: "a task that it waited for failed: `ifFailed: 'cancel'`",
  },
  block: { from: ['pending', 'paused'], to: 'blocked', by: 'client', says: 'somebody made it wait for other tasks' },
  rerun: { from: ['failed', 'cancelled'], to: 'pending', by: 'client', says: 'somebody wants it tried again' },
  rewait: {
    from: ['failed', 'cancelled'],
    to: 'blocked',
    by: 'client',
    says: 'somebody wants it tried again, and a task that it waits for has not completed',
  },
} as const satisfies Record<string, Transition>

export type Verb = keyof typeof TRANSITIONS

/** What a task waits for. */
const AWAITED = ['predecessors', 'after', 'ifFailed'] as const
/** What an ended task has, or has no more. */
const END = ['finishedAt', 'expireAt', 'raiseAt'] as const
/** Who runs a task, and where. */
const HOLDER = ['lease', 'slot', 'worker', 'publicUrl'] as const
/** What changes whenever an attempt ends. */
const LEAVING = [...HOLDER, 'attempts', 'control', ...END] as const
/** The same by its owner, with what it reported last. */
const SETTLING = [...LEAVING, 'progress'] as const
const LATER = ['runAt', 'order'] as const
const ANEW = ['failures', 'lost', 'priority', 'startedAt', 'control', ...LATER, ...END] as const
const BUDGET = ['retry', 'timeout', 'totalTimeout', 'stall', 'maxAttempts'] as const
const WISHES = ['input', 'priority', 'basePriority', 'lazy', 'deadline', 'raiseAt', 'deadlineMissedAt'] as const

/** The fields that the write of a verb may change, beside `status`, `rev` and `updatedAt`. */
export const WRITES: Record<Verb, readonly Field[] | 'everything'> = {
  claim: [...HOLDER, 'attempt', 'attempts', 'attemptsDropped', 'claimedAt', 'startedAt', 'key'],
  complete: [...SETTLING, 'output', 'lost'],
  retry: [...SETTLING, 'error', 'failures', 'priority', ...LATER],
  fail: [...SETTLING, 'error', 'failures'],
  defer: [...SETTLING, 'error', ...LATER],
  snooze: [...SETTLING, ...LATER],
  release: [...SETTLING, ...LATER],
  suspend: SETTLING,
  stop: SETTLING,
  reclaim: [...LEAVING, 'error', 'lost', 'runAt'],
  expire: [...LEAVING, 'error', 'lost', 'runAt'],
  quarantine: 'everything',
  pause: ['control', ...END],
  resume: ['control'],
  cancel: ['control', ...END],
  unblock: AWAITED,
  abandon: ['error', ...END],
  skip: ['error', ...END],
  block: ['control', ...AWAITED],
  rerun: [...ANEW, 'signature'],
  rewait: [...ANEW, 'predecessors', 'signature'],
}

/** Writes that leave a task in its status, and the fields that they may change beside `rev` and `updatedAt`. */
export const OTHER_WRITES = {
  report: ['progress'],
  checkpoint: ['checkpoint', 'checkpointAttempt', 'lost'],
  takeBackLoss: ['attempts', 'lost'],
  raise: ['priority', 'deadlineMissedAt', 'raiseAt'],
  edit: [...WISHES, ...BUDGET, ...LATER, 'queue', 'signature'],
  replace: [...WISHES, ...BUDGET, ...LATER, 'version', 'signature'],
  noteCompleted: ['predecessors'],
} as const satisfies Record<string, readonly Field[]>

const BY_VERB: Record<Verb, Transition> = TRANSITIONS

/**
 * Verbs whose guard carries the lease: everything that leaves `running`, but what ends a task that can't be understood. The
 * lease may be what is wrong with that one; its guard is the document as it was read.
 */
export function isFenced(verb: Verb): boolean {
  return verb !== 'quarantine' && BY_VERB[verb].from.includes('running')
}

/** The filter of a transition's write: the task, in a status it may leave, and for a running one the proof of the claim. */
export function guard<Id>(verb: Verb, id: Id, leaseId?: string): Record<string, unknown> {
  const { from } = BY_VERB[verb]
  const filter: Record<string, unknown> = { _id: id, status: from.length === 1 ? from[0] : { $in: [...from] } }
  if (!isFenced(verb)) return filter
  if (leaseId === undefined) throw new TypeError(`'${verb}' leaves 'running' and needs the lease id`)
  return { ...filter, 'lease.id': leaseId }
}

/** The filter of a write that belongs to an attempt without ending it: progress and checkpoints. */
export function attemptGuard<Id>(id: Id, leaseId: string): Record<string, unknown> {
  return { _id: id, status: 'running', 'lease.id': leaseId }
}

/** The statuses in which a task's `key` keeps others with the same key out. */
export const OPEN_STATUSES: readonly TaskStatus[] = STATUSES.filter((status) => !hasEnded(status))
export const ENDED_STATUSES: readonly TaskStatus[] = STATUSES.filter(hasEnded)
/** The statuses in which a task's content may still be changed. */
export const WAITING_STATUSES: readonly TaskStatus[] = OPEN_STATUSES.filter((status) => status !== 'running')

/** The verbs that may follow a status. */
export function verbsFrom(status: TaskStatus): Verb[] {
  return (Object.keys(TRANSITIONS) as Verb[]).filter((verb) => BY_VERB[verb].from.includes(status))
}

/** The chart of `docs/lifecycle.md`, drawn from the table in Mermaid's notation. */
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
