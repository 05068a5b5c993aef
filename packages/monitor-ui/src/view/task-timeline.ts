import type { AttemptView, AuditEntry, TaskErrorView, TaskRow, TaskStatus } from '@taskfleet/protocol'
import { hasEnded } from '@taskfleet/protocol'
import { type DeadlineState, deadlineState } from './deadline.ts'

/** What a task waits for between two moments. */
export type WaitFor =
  /** The tasks that it comes after. */
  | 'tasks'
  /** Its date. */
  | 'date'
  /** The end of its back-off, after an attempt that failed or was lost. */
  | 'retry'
  /** A worker with a free slot. */
  | 'worker'
  /** Somebody who resumes it. */
  | 'resume'

interface Moment {
  /** Unique within a timeline. */
  key: string
  /** When it happened or will happen, or when a span began, in ISO 8601. */
  at: string
  /** Not yet. */
  ahead: boolean
}

interface Span extends Moment {
  /** Where it stands among attempts and waits: 2 n for attempt n, one more for a wait after it. Clocks may give both one date. */
  step: number
  /** How long it lasted or has lasted, in milliseconds. */
  lastedMs: number
  /** It goes on now. */
  open: boolean
}

interface EnqueuedEntry extends Moment {
  kind: 'enqueued'
  /** The key that ran its schedule by hand. Who enqueued other tasks is not recorded. */
  by: string | undefined
}

export interface WaitEntry extends Span {
  kind: 'wait'
  for: WaitFor
  /** When it ends by itself. Only while it goes on. */
  until: string | undefined
}

export interface AttemptEntry extends Span {
  kind: 'attempt'
  attempt: AttemptView
}

/** What somebody did to the task, from the audit log. */
interface DeedEntry extends Moment {
  kind: 'deed'
  by: string
  action: string
  reason: string | undefined
  /** How many other tasks the same command changed. */
  others: number
  /** Its worker was asked, and has not done it yet. */
  pending: boolean
}

export type TimelineEntry =
  | EnqueuedEntry
  | WaitEntry
  | AttemptEntry
  | DeedEntry
  /** Attempts that are too old to be kept. */
  | (Moment & { kind: 'dropped'; count: number })
  /** Its host stopped to send heartbeats. */
  | (Moment & { kind: 'silent'; forMs: number })
  | (Moment & { kind: 'deadline'; state: DeadlineState })
  /** Its priority is raised, because the deadline is near. */
  | (Moment & { kind: 'raise' })
  /** `tookMs` is from its creation. The error is the task's own, if no attempt has it. */
  | (Moment & { kind: 'end'; status: TaskStatus; tookMs: number; error: TaskErrorView | undefined })

export interface TimelineFacts {
  task: TaskRow
  /** What is known of who did what, in any order. */
  audit: readonly AuditEntry[]
  /** Those of the tasks that it waits for that still exist. */
  predecessors: readonly Pick<TaskRow, '_id' | 'status' | 'finishedAt'>[]
  /** For how long the host that runs it has been silent, in milliseconds. */
  silentMs: number | undefined
  /** The server's time in milliseconds. */
  now: number
}

/** A deed is recorded just after its effect. One that follows an effect by less than this belongs to it. */
const RECORDED_MS = 5_000
/** Clocks of a second: a start this soon after the creation is no date to wait for. */
const AT_ONCE_MS = 1_000

/** At the same moment, what has the lower rank happened first. */
const RANK: Record<TimelineEntry['kind'], number> = {
  enqueued: 0,
  dropped: 1,
  deed: 2,
  attempt: 3,
  wait: 4,
  silent: 5,
  raise: 6,
  deadline: 7,
  end: 8,
}

const ms = (iso: string): number => Date.parse(iso)
const iso = (at: number): string => new Date(at).toISOString()

/** All that happened to a task and will happen, the newest first. */
export function taskTimeline({ task, audit, predecessors, silentMs, now }: TimelineFacts): TimelineEntry[] {
  const attempts = (task.attempts ?? []).toSorted((a, b) => a.n - b.n)
  const deeds = deedsOf(task, audit)
  const entries: TimelineEntry[] = [
    { kind: 'enqueued', key: 'enqueued', at: task.createdAt, ahead: false, by: starterOf(audit) },
    ...attempts.map((attempt) => attemptEntry(attempt, task, now)),
    ...waits({ task, attempts, deeds, predecessors, now }),
    ...deeds,
  ]
  const dropped = task.attemptsDropped ?? 0
  const [first] = attempts
  if (dropped > 0) {
    const at = first?.claimedAt ?? task.createdAt
    entries.push({ kind: 'dropped', key: 'dropped', at, ahead: false, count: dropped })
  }
  if (silentMs !== undefined && task.status === 'running')
    entries.push({ kind: 'silent', key: 'silent', at: iso(now - silentMs), ahead: false, forMs: silentMs })
  entries.push(...deadlines(task, now))
  if (hasEnded(task.status) && task.finishedAt !== undefined) {
    const tookMs = Math.max(0, ms(task.finishedAt) - ms(task.createdAt))
    const error = attempts.some((one) => isSame(one.error, task.error)) ? undefined : task.error
    entries.push({
      ...{ kind: 'end', key: 'end', at: task.finishedAt, ahead: false },
      ...{ status: task.status, tookMs, error },
    })
  }
  const places = new Map(entries.map((entry) => [entry, placeOf(entry, task, attempts)]))
  const place = (entry: TimelineEntry): number => places.get(entry) ?? 0
  return entries.sort((a, b) => place(b) - place(a) || stepOf(b, a) - stepOf(a, b) || RANK[b.kind] - RANK[a.kind])
}

const isSame = (a: TaskErrorView | undefined, b: TaskErrorView | undefined): boolean =>
  a !== undefined && b !== undefined && a.code === b.code && a.message === b.message

const stepOf = (entry: TimelineEntry, other: TimelineEntry): number =>
  'step' in entry && 'step' in other ? entry.step : 0

/** Where an entry stands, in milliseconds: a deed stands before its effect. */
function placeOf(entry: TimelineEntry, task: TaskRow, attempts: readonly AttemptView[]): number {
  const at = ms(entry.at)
  if (entry.kind === 'deed')
    return Math.min(at, ...effectsOf(entry.action, task, attempts).filter((effect) => isEffect(effect, at)))
  // A deadline that was met says nothing after the end.
  if (entry.kind === 'deadline' && entry.state === 'met' && task.finishedAt !== undefined)
    return Math.min(at, ms(task.finishedAt))
  // Nothing stands before its creation, whatever a clock said.
  return entry.kind === 'enqueued' ? at : Math.max(at, ms(task.createdAt))
}

const isEffect = (effect: number, at: number): boolean => effect <= at && at - effect < RECORDED_MS

/** The moments at which a command may have changed the task. */
function effectsOf(action: string, task: TaskRow, attempts: readonly AttemptView[]): number[] {
  const left = (outcome: AttemptView['outcome']): number[] =>
    attempts.flatMap((one) => (one.outcome === outcome && one.endedAt !== undefined ? [ms(one.endedAt)] : []))
  const claims = attempts.map(({ claimedAt }) => ms(claimedAt))
  switch (action) {
    case 'cancel':
      return [...left('cancelled'), ...(task.status === 'cancelled' && task.finishedAt ? [ms(task.finishedAt)] : [])]
    case 'pause':
      return left('paused')
    case 'resume':
    case 'retry':
      return claims
    default:
      return []
  }
}

const starterOf = (audit: readonly AuditEntry[]): string | undefined =>
  audit.find(({ action }) => action === 'schedule run')?.by

function deedsOf(task: TaskRow, audit: readonly AuditEntry[]): DeedEntry[] {
  const { control } = task
  const isAsked = ({ action, at }: AuditEntry): boolean =>
    control?.action === action && Math.abs(ms(at) - ms(control.at)) < RECORDED_MS
  const asked = hasEnded(task.status) ? undefined : audit.find(isAsked)
  const deeds = audit
    .filter(({ action }) => action !== 'schedule run')
    .map(
      (entry): DeedEntry => ({
        ...{ kind: 'deed', key: entry._id, at: entry.at, ahead: false },
        ...{ by: entry.by, action: entry.action, reason: entry.reason, others: Math.max(0, entry.changed - 1) },
        pending: entry === asked,
      }),
    )
  if (control === undefined || asked !== undefined || hasEnded(task.status)) return deeds
  // The audit log is not loaded yet, or may not be read.
  const { action, by, at, reason } = control
  return [...deeds, { kind: 'deed', key: 'control', at, ahead: false, by, action, reason, others: 0, pending: true }]
}

function attemptEntry(attempt: AttemptView, task: TaskRow, now: number): AttemptEntry {
  const { n, claimedAt, endedAt, outcome } = attempt
  const open = outcome === undefined && endedAt === undefined && task.status === 'running' && n === task.attempt
  const until = endedAt === undefined ? now : ms(endedAt)
  return {
    ...{ kind: 'attempt', key: `attempt ${n}`, at: claimedAt, ahead: false },
    ...{ lastedMs: Math.max(0, until - ms(claimedAt)), open, step: 2 * n, attempt },
  }
}

function deadlines(task: TaskRow, now: number): TimelineEntry[] {
  const { deadline, raiseAt } = task
  const state = deadlineState(task, now)
  if (deadline === undefined || state === undefined) return []
  const entries: TimelineEntry[] = [
    { kind: 'deadline', key: 'deadline', at: deadline, ahead: ms(deadline) > now && !hasEnded(task.status), state },
  ]
  if (raiseAt !== undefined && raiseAt !== deadline && ms(raiseAt) > now && !hasEnded(task.status))
    entries.push({ kind: 'raise', key: 'raise', at: raiseAt, ahead: true })
  return entries
}

interface WaitFacts {
  task: TaskRow
  attempts: readonly AttemptView[]
  deeds: readonly DeedEntry[]
  predecessors: TimelineFacts['predecessors']
  now: number
}

/** The times in which no worker had the task. */
function waits({ task, attempts, deeds, predecessors, now }: WaitFacts): WaitEntry[] {
  const entries: WaitEntry[] = []
  const [first] = attempts
  const dropped = (task.attemptsDropped ?? 0) > 0
  const isWaiting = task.status !== 'running' && !hasEnded(task.status)
  const endedAt = task.finishedAt === undefined ? undefined : ms(task.finishedAt)
  const stands = isWaiting ? waitNow(task, now) : undefined
  if (!dropped) {
    const until = first === undefined ? (isWaiting ? undefined : endedAt) : ms(first.claimedAt)
    if (first !== undefined || isWaiting || until !== undefined)
      entries.push(...phases(firstPhases(task, until, predecessors), { step: 1, until, deeds, stands, task, now }))
  }
  for (const [index, attempt] of attempts.entries()) {
    const next = attempts[index + 1]
    if (attempt.endedAt === undefined || (next === undefined && !isWaiting)) continue
    const until = next && ms(next.claimedAt)
    const begin = startOf(attempt, until ?? now, deeds)
    const starts = [begin]
    const due = ms(task.runAt)
    // Only the date of the latest attempt is still known.
    const isKnown = until === undefined ? due <= now : due < until && index === attempts.length - 2
    if (begin.for === 'retry' && due > begin.at && isKnown) starts.push({ at: due, for: 'worker' })
    const step = 2 * attempt.n + 1
    entries.push(...phases(starts, { step, until, deeds, stands: next === undefined ? stands : undefined, task, now }))
  }
  return entries
}

interface Phase {
  at: number
  for: WaitFor
}

/** What it waits for now. */
function waitNow({ status, runAt, attempt }: TaskRow, now: number): WaitFor {
  if (status === 'blocked') return 'tasks'
  if (status === 'paused') return 'resume'
  return ms(runAt) > now ? (attempt > 0 ? 'retry' : 'date') : 'worker'
}

/** Where the wait after an attempt begins. A task that had ended waits again from when somebody retried it. */
function startOf(attempt: AttemptView, until: number, deeds: readonly DeedEntry[]): Phase {
  const ended = ms(attempt.endedAt ?? attempt.claimedAt)
  const isRetry = ({ action, at }: DeedEntry): boolean =>
    action === 'retry' && ms(at) >= ended && ms(at) <= until + RECORDED_MS
  const retried = deeds.find(isRetry)
  if (retried !== undefined) return { at: Math.min(ms(retried.at), until), for: 'worker' }
  return { at: ended, for: waitAfter(attempt) }
}

function waitAfter({ outcome }: AttemptView): WaitFor {
  switch (outcome) {
    case 'failed':
    case 'lost':
    case 'deferred':
    case 'snoozed':
      return 'retry'
    case 'paused':
      return 'resume'
    default:
      return 'worker'
  }
}

/** Before the first attempt: the tasks that it comes after, then its date, then a worker. */
function firstPhases(task: TaskRow, until: number | undefined, predecessors: TimelineFacts['predecessors']): Phase[] {
  const created = ms(task.createdAt)
  const starts: Phase[] = []
  let at = created
  if (task.after !== undefined) {
    starts.push({ at, for: 'tasks' })
    const ends = predecessors.map(({ finishedAt }) => (finishedAt === undefined ? Number.NaN : ms(finishedAt)))
    if (task.status === 'blocked' || ends.length === 0 || ends.some(Number.isNaN)) return starts
    at = Math.max(at, ...ends)
  }
  const due = ms(task.runAt)
  // A later date than the first claim is that of a retry.
  if (due - created > AT_ONCE_MS && due > at && (until === undefined ? task.attempt === 0 : due <= until)) {
    starts.push({ at, for: 'date' })
    at = due
  }
  starts.push({ at, for: 'worker' })
  return starts
}

interface PhaseFacts {
  step: number
  /** When the wait ended; undefined while it goes on. */
  until: number | undefined
  deeds: readonly DeedEntry[]
  /** What it waits for now, whatever the deeds say. */
  stands: WaitFor | undefined
  task: TaskRow
  now: number
}

/** Phases that follow each other, with those that people began, as entries. */
function phases(starts: readonly Phase[], { step, until, deeds, stands, task, now }: PhaseFacts): WaitEntry[] {
  const begin = starts[0]?.at ?? 0
  const end = until ?? now
  const changed = deeds.flatMap(({ action, at, pending }): Phase[] => {
    const moment = ms(at)
    if (pending || moment < begin || moment > end) return []
    if (action === 'pause') return [{ at: moment, for: 'resume' }]
    return action === 'resume' || action === 'retry' ? [{ at: moment, for: 'worker' }] : []
  })
  const all = [...starts, ...changed].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
  const kept: Phase[] = []
  for (const phase of all) {
    const last = kept.at(-1)
    // A resumed task goes on to wait for what it waited for before.
    if (last === undefined || last.for !== phase.for) kept.push({ ...phase })
  }
  const last = kept.at(-1)
  if (until === undefined && stands !== undefined && last !== undefined) last.for = stands
  return kept.flatMap((phase, index): WaitEntry[] => {
    const next = kept[index + 1]
    const open = next === undefined && until === undefined
    const to = next?.at ?? end
    const lastedMs = Math.max(0, to - phase.at)
    // Nobody wants to read that it waited for no time.
    if (!open && lastedMs < AT_ONCE_MS) return []
    const known = open && (phase.for === 'date' || phase.for === 'retry') && ms(task.runAt) > now
    return [
      {
        ...{ kind: 'wait', key: `wait ${phase.at} ${phase.for}`, at: iso(phase.at), ahead: false },
        ...{ for: phase.for, lastedMs, open, step, until: known ? task.runAt : undefined },
      },
    ]
  })
}
