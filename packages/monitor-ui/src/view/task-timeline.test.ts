import type { AttemptView, AuditEntry, TaskRow } from '@taskfleet/protocol'
import { describe, expect, it } from 'vitest'
import { aTask, EPOCH, iso } from '../testing/rows.ts'
import { type TimelineEntry, type TimelineFacts, taskTimeline } from './task-timeline.ts'

const MINUTE = 60_000
/** So many minutes after the start. */
const at = (minutes: number) => iso(EPOCH + minutes * MINUTE)
const NOW = EPOCH + 60 * MINUTE

let made = 0
const deed = (action: string, minutes: number, more: Partial<AuditEntry> = {}): AuditEntry => {
  made += 1
  return { _id: `deed-${made}`, at: at(minutes), by: 'ops', action, tasks: [], matched: 1, changed: 1, ...more }
}
const attempt = (n: number, from: number, to?: number, outcome?: AttemptView['outcome'], more = {}): AttemptView => ({
  ...{ n, worker: 'w1', host: 'fra-1', claimedAt: at(from) },
  ...(to !== undefined && { endedAt: at(to) }),
  ...(outcome !== undefined && { outcome }),
  ...more,
})
const FAULT = { code: 'E1', name: 'Error', message: 'no', fingerprint: 'f' }

const base = { createdAt: at(0), runAt: at(0), order: at(0) }
const timeline = (task: TaskRow, facts: Partial<TimelineFacts> = {}) =>
  taskTimeline({
    task: { ...task, createdAt: at(0) },
    audit: [],
    predecessors: [],
    silentMs: undefined,
    now: NOW,
    ...facts,
  })

/** One line for each entry, the oldest first. */
const read = (entries: readonly TimelineEntry[]) => entries.map(line).reverse()
function line(entry: TimelineEntry): string {
  const when = `${(Date.parse(entry.at) - EPOCH) / MINUTE}`
  const span = 'lastedMs' in entry ? `+${entry.lastedMs / MINUTE}${entry.open ? '…' : ''}` : ''
  const ahead = entry.ahead ? 'ahead ' : ''
  switch (entry.kind) {
    case 'wait':
      return `${when}${span} waits for ${entry.for}${entry.until === undefined ? '' : ` until ${(Date.parse(entry.until) - EPOCH) / MINUTE}`}`
    case 'attempt':
      return `${when}${span} attempt ${entry.attempt.n} ${entry.attempt.outcome ?? 'running'}`
    case 'deed':
      return `${when} ${entry.by} ${entry.action}${entry.pending ? ' (asked)' : ''}${entry.others > 0 ? ` +${entry.others}` : ''}`
    case 'deadline':
      return `${ahead}${when} deadline ${entry.state}`
    case 'end':
      return `${when} ${entry.status} after ${entry.tookMs / MINUTE}${entry.error === undefined ? '' : ` ${entry.error.code}`}`
    case 'dropped':
      return `${when} ${entry.count} dropped`
    default:
      return `${ahead}${when} ${entry.kind}`
  }
}

describe('the timeline of a task', () => {
  it('begins with its creation and what it waits for', () => {
    const task = aTask.pending(base)
    expect(read(timeline(task))).toEqual(['0 enqueued', '0+60… waits for worker'])
  })

  it('says who ran its schedule by hand', () => {
    const [entry] = timeline(aTask.pending(base), { audit: [deed('schedule run', 0)] }).reverse()
    expect(entry).toMatchObject({ kind: 'enqueued', by: 'ops' })
  })

  it('waits for its date, and then for a worker', () => {
    const later = aTask.pending({ ...base, runAt: at(90) })
    expect(read(timeline(later))).toEqual(['0 enqueued', '0+60… waits for date until 90'])
    const due = aTask.pending({ ...base, runAt: at(20) })
    expect(read(timeline(due))).toEqual(['0 enqueued', '0+20 waits for date', '20+40… waits for worker'])
  })

  it('waits for other tasks until the last of them has ended', () => {
    const [a, b] = ['a'.repeat(24), 'b'.repeat(24)]
    const done = (_id: string, minutes: number) => ({ _id, status: 'completed' as const, finishedAt: at(minutes) })
    const blocked = aTask.blocked({ ...base, after: [a, b] })
    expect(read(timeline(blocked, { predecessors: [done(a, 4), { _id: b, status: 'running' }] }))).toEqual([
      '0 enqueued',
      '0+60… waits for tasks',
    ])
    const freed = aTask.pending({ ...base, after: [a, b] })
    expect(read(timeline(freed, { predecessors: [done(a, 4), done(b, 9)] }))).toEqual([
      '0 enqueued',
      '0+9 waits for tasks',
      '9+51… waits for worker',
    ])
  })

  it('has each attempt with the wait before it, and its end', () => {
    const task = aTask.completed({
      ...{ ...base, runAt: at(14), attempt: 2, finishedAt: at(20) },
      attempts: [attempt(1, 5, 10, 'failed', { error: FAULT }), attempt(2, 15, 20, 'completed')],
    })
    expect(read(timeline(task))).toEqual([
      '0 enqueued',
      '0+5 waits for worker',
      '5+5 attempt 1 failed',
      '10+4 waits for retry',
      '14+1 waits for worker',
      '15+5 attempt 2 completed',
      '20 completed after 20',
    ])
  })

  it('shows a back-off with its end', () => {
    const task = aTask.pending({ ...base, runAt: at(65), attempt: 1, attempts: [attempt(1, 5, 10, 'failed')] })
    expect(read(timeline(task)).at(-1)).toBe('10+50… waits for retry until 65')
    // Its date has come, so only a worker is missing.
    expect(read(timeline({ ...task, runAt: at(30) })).slice(-2)).toEqual([
      '10+20 waits for retry',
      '30+30… waits for worker',
    ])
  })

  it.each([
    ['lost', 'retry'],
    ['snoozed', 'retry'],
    ['deferred', 'retry'],
    ['released', 'worker'],
    ['paused', 'resume'],
    ['cancelled', 'worker'],
  ] as const)('after an attempt that was %s it waits for %s', (outcome, reason) => {
    const task = aTask.running({ attempt: 2, attempts: [attempt(1, 5, 10, outcome), attempt(2, 15)] })
    expect(read(timeline(task)).slice(-2)).toEqual([`10+5 waits for ${reason}`, '15+45… attempt 2 running'])
  })

  it('shows who paused and resumed it, and what it waited for in between', () => {
    const task = aTask.running({ attempt: 2, attempts: [attempt(1, 5, 10, 'paused'), attempt(2, 30)] })
    const audit = [deed('resume', 25, { by: 'eve' }), deed('pause', 9.99, { changed: 3 })]
    expect(read(timeline(task, { audit })).slice(-5)).toEqual([
      '9.99 ops pause +2',
      '10+15 waits for resume',
      '25 eve resume',
      '25+5 waits for worker',
      '30+30… attempt 2 running',
    ])
  })

  it('pauses a waiting task', () => {
    const task = aTask.paused({ attempt: 0, attempts: [] })
    expect(read(timeline(task, { audit: [deed('pause', 20)] }))).toEqual([
      '0 enqueued',
      '0+20 waits for worker',
      '20 ops pause',
      '20+40… waits for resume',
    ])
    // Without the audit log its status still decides.
    expect(read(timeline(task)).at(-1)).toBe('0+60… waits for resume')
  })

  it('says what was asked of its worker and is not done', () => {
    const control = { action: 'cancel' as const, by: 'eve', at: at(50), reason: 'wrong file' }
    const task = aTask.running({ control, attempts: [attempt(1, 5)] })
    const asked = (audit: AuditEntry[]) => timeline(task, { audit }).filter(({ kind }) => kind === 'deed')
    expect(asked([])).toMatchObject([{ by: 'eve', action: 'cancel', reason: 'wrong file', pending: true }])
    // The audit log has the same request.
    expect(asked([deed('cancel', 50.01, { by: 'eve' }), deed('pause', 20)])).toMatchObject([
      { action: 'cancel', pending: true },
      { action: 'pause', pending: false },
    ])
  })

  it('puts a deed before what it caused, though it is recorded a moment later', () => {
    const task = aTask.cancelled({ finishedAt: at(10), attempt: 1, attempts: [attempt(1, 5, 10, 'cancelled')] })
    expect(read(timeline(task, { audit: [deed('cancel', 10.001)] })).slice(-2)).toEqual([
      '10.001 ops cancel',
      '10 cancelled after 10',
    ])
    const again = aTask.running({
      attempt: 2,
      attempts: [attempt(1, 5, 10, 'failed'), attempt(2, 20)],
    })
    expect(read(timeline(again, { audit: [deed('retry', 20.001)] })).slice(-3)).toEqual([
      '5+5 attempt 1 failed',
      '20.001 ops retry',
      '20+40… attempt 2 running',
    ])
  })

  it('has edits, a new priority and a replay', () => {
    const audit = [deed('edit', 3), deed('reprioritise', 2), deed('replay', 4)]
    expect(read(timeline(aTask.pending(base), { audit })).slice(2)).toEqual([
      '2 ops reprioritise',
      '3 ops edit',
      '4 ops replay',
    ])
  })

  it('shows the end of a task that never ran, with the reason', () => {
    const task = aTask.failed({
      ...{ ...base, attempt: 0, attempts: [], after: 'a'.repeat(24), finishedAt: at(7) },
      error: { ...FAULT, code: 'PREDECESSOR_FAILED' },
    })
    expect(read(timeline(task))).toEqual(['0 enqueued', '0+7 waits for tasks', '7 failed after 7 PREDECESSOR_FAILED'])
  })

  it('leaves the error of the end to the attempt that has it', () => {
    const attempts = [attempt(1, 1, 2, 'failed', { error: FAULT })]
    expect(read(timeline(aTask.failed({ error: FAULT, attempts, finishedAt: at(2) }))).at(-1)).toBe('2 failed after 2')
  })

  it('counts attempts that are no longer kept', () => {
    const task = aTask.running({
      attempt: 102,
      attemptsDropped: 100,
      attempts: [attempt(101, 30, 31, 'lost'), attempt(102, 40)],
    })
    expect(read(timeline(task))).toEqual([
      '0 enqueued',
      '30 100 dropped',
      '30+1 attempt 101 lost',
      '31+9 waits for retry',
      '40+20… attempt 102 running',
    ])
  })

  it('keeps the order of attempts whose clocks agree, and of a wait after them', () => {
    const task = aTask.pending({
      ...{ ...base, attempt: 3, runAt: at(0) },
      attempts: [attempt(3, 0, 0, 'released'), attempt(1, 0, 0, 'lost'), attempt(2, 0, 0, 'lost')],
    })
    expect(read(timeline(task))).toEqual([
      '0 enqueued',
      '0+0 attempt 1 lost',
      '0+0 attempt 2 lost',
      '0+0 attempt 3 released',
      '0+60… waits for worker',
    ])
  })

  it('puts nothing before the creation, whatever a clock says', () => {
    const task = aTask.running({ attempts: [attempt(1, -3)] })
    expect(read(timeline(task))).toEqual(['0 enqueued', '-3+63… attempt 1 running'])
  })

  it('does not show an attempt of an ended task as running', () => {
    const task = aTask.failed({ attempt: 2, attempts: [attempt(2, 5)], finishedAt: at(9), error: FAULT })
    expect(timeline(task).find(({ kind }) => kind === 'attempt')).toMatchObject({ open: false })
  })

  it('shows for how long its host has been silent', () => {
    const task = aTask.running({ attempts: [attempt(1, 5)] })
    expect(read(timeline(task, { silentMs: 2 * MINUTE })).at(-1)).toBe('58 silent')
    expect(timeline(aTask.pending(base), { silentMs: 5 }).some(({ kind }) => kind === 'silent')).toBe(false)
  })

  it('has the deadline ahead, and when the priority rises', () => {
    const task = aTask.pending({ ...base, deadline: at(120), raiseAt: at(110) })
    expect(read(timeline(task)).slice(-2)).toEqual(['ahead 110 raise', 'ahead 120 deadline ahead'])
    const missed = aTask.pending({ ...base, deadline: at(30), raiseAt: at(30), deadlineMissedAt: at(30) })
    expect(read(timeline(missed)).at(-1)).toBe('30 deadline missed')
    const met = aTask.completed({ deadline: at(30), finishedAt: at(10), attempts: [attempt(1, 5, 10, 'completed')] })
    expect(read(timeline(met)).slice(-2)).toEqual(['30 deadline met', '10 completed after 10'])
  })
})
