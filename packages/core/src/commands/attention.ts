import type { AttentionRow } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { serves } from '../handlers/published-handlers.ts'
import { quantile } from '../history/buckets.ts'
import type { ErrorDocument } from '../history/error-report.ts'
import type { RolledUp } from '../history/roll-ups.ts'
import type { ScheduleDocument } from '../schedules/schedule-document.ts'
import { isAlive, isSilent } from '../worker/session.ts'
import type { WorkerDocument } from '../worker/worker-model.ts'

/** The due tasks of a queue, name and version. */
export interface DueTasks {
  queue: string
  name: string
  version: number
  count: number
  oldest: Date
}

/** What is known of a fleet. Parts that the caller may not see are empty. */
export interface Observed {
  now: Date
  due: readonly DueTasks[]
  /** The workers and gateways of the last day. */
  workers: readonly WorkerDocument[]
  /** How many tasks run under each of these sessions. */
  held: ReadonlyMap<string, number>
  queues: readonly { _id: string; paused: boolean; concurrency?: number; rate?: unknown }[]
  schedules: readonly ScheduleDocument[]
  /** Open errors. */
  errors: readonly ErrorDocument[]
  /** What ended by hour, for the last day. Only needed if something has waited for `LEAST_WAIT_MS`. */
  ended: readonly RolledUp[]
  /** The names of the waiting tasks whose deadlines come soon, one for each task. */
  atRisk: readonly string[]
  setAside: number
}

type Found = Omit<AttentionRow, '_id' | 'since'> & { since?: Date | undefined }

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** No queue is behind before its oldest task has waited for this long. */
export const LEAST_WAIT_MS = MINUTE_MS
/** How many times the usual wait (the 95th percentile of a day) is too long. */
const TIMES_USUAL = 3
/** A schedule may be this late. */
const LATE_MS = 30_000
/** A dead worker is listed for this long, unless its host has another one. */
const DEAD_MS = 30 * MINUTE_MS
/** So many failures within two hours, and so many times what is usual, are a rise. */
const LEAST_FAILURES = 5
const TIMES_FAILURES = 3
/** How far ahead deadlines are looked at. */
export const RISK_MS = 15 * MINUTE_MS

/** What needs somebody, the most urgent first, then the oldest first. Empty if all is well. */
export function attention(seen: Observed): AttentionRow[] {
  const found = [
    ...unserved(seen),
    ...behind(seen),
    ...silent(seen),
    ...missed(seen),
    ...atRisk(seen),
    ...failing(seen),
    ...setAside(seen),
    ...weak(seen),
  ]
  const rank = ({ urgency }: Found): number => (urgency === 'now' ? 0 : 1)
  const time = ({ since = seen.now }: Found): number => since.getTime()
  return found
    .toSorted((a, b) => rank(a) - rank(b) || time(a) - time(b))
    .map(({ since, ...row }) => ({
      _id: [row.kind, row.queue, row.error ?? row.worker ?? row.subject].filter((part) => part !== undefined).join(':'),
      ...row,
      ...given({ since: since?.toISOString() }),
    }))
}

const tasks = (count: number, which: string): string => `${count} ${which} ${count === 1 ? 'task waits' : 'tasks wait'}`

function* unserved({ due, workers, now, schedules }: Observed): Generator<Found> {
  const live = workers.filter((worker) => isServing(worker, now))
  const isServed = (queue: string, name: string, version: number): boolean =>
    live.some((worker) => worker.queues.includes(queue) && serves(worker, name, version))
  for (const { queue, name, version, count, oldest } of due) {
    if (isServed(queue, name, version)) continue
    const message = `${tasks(count, 'due')}, and no worker serves ${name}@${version} in the queue ${queue}`
    yield {
      ...{ kind: 'unserved', urgency: 'now', subject: `${name}@${version}`, message },
      ...{ count, queue, name, since: oldest },
    }
  }
  for (const { _id, task, version, options, paused } of schedules) {
    if (paused || isServed(options.queue, task, version)) continue
    const message = `No worker serves ${task}@${version} in the queue ${options.queue}, which this schedule makes`
    yield { kind: 'unserved', urgency: 'soon', subject: _id, message, schedule: _id, name: task, queue: options.queue }
  }
}

/** Queues whose oldest due task has waited for much longer than usual, with what holds them back. */
function* behind({ due, queues, ended, now }: Observed): Generator<Found> {
  const waits = new Map<string, number[]>()
  for (const { queue, wait } of ended) {
    const sum = waits.get(queue) ?? wait.map(() => 0)
    for (const [bucket, count] of wait.entries()) sum[bucket] = (sum[bucket] ?? 0) + count
    waits.set(queue, sum)
  }
  const settings = new Map(queues.map((queue) => [queue._id, queue]))
  for (const queue of new Set(due.map((one) => one.queue))) {
    const ofQueue = due.filter((one) => one.queue === queue)
    const count = ofQueue.reduce((sum, one) => sum + one.count, 0)
    const since = new Date(Math.min(...ofQueue.map(({ oldest }) => oldest.getTime())))
    const usual = quantile(waits.get(queue) ?? [], 0.95) ?? 0
    if (now.getTime() - since.getTime() < Math.max(LEAST_WAIT_MS, TIMES_USUAL * usual)) continue
    const { paused, concurrency, rate } = settings.get(queue) ?? {}
    if (paused) {
      const message = `${tasks(count, 'due')} because the queue is paused`
      yield { kind: 'paused', urgency: 'soon', subject: queue, queue, count, since, message }
      continue
    }
    const limits = [
      ...(concurrency === undefined ? [] : [`at most ${concurrency} run at once`]),
      ...(rate === undefined ? [] : ['its starts are limited']),
    ]
    const held = limits.length === 0 ? '' : `; ${limits.join(', and ')}`
    const message = `${tasks(count, 'due')}, the oldest for much longer than usual${held}`
    yield { kind: 'behind', urgency: 'now', subject: queue, queue, count, since, message }
  }
}

/** Workers and gateways that went silent, and dead ones whose host has no other. */
function* silent({ workers, held, now }: Observed): Generator<Found> {
  const age = (date: Date): number => now.getTime() - date.getTime()
  const there = new Set(workers.filter((one) => isAlive(one) && !isSilent(one, now)).map(({ name }) => name))
  // The newest session of a host comes first.
  for (const worker of workers) {
    const { _id, name, role, state, heartbeatAt, stoppedAt } = worker
    if (there.has(name)) continue
    there.add(name)
    const count = held.get(_id) ?? 0
    if (isAlive(worker) && isSilent(worker, now)) {
      const message = `This ${role} gives no sign of life${count === 0 ? '' : ` and holds ${count} running`}`
      yield { kind: 'silent', urgency: 'now', subject: name, worker: _id, count, since: heartbeatAt, message }
    } else if (state === 'dead' && age(stoppedAt ?? heartbeatAt) < DEAD_MS) {
      const message = `This ${role} ended without stopping in order; its tasks go on elsewhere`
      yield { kind: 'silent', urgency: 'soon', subject: name, worker: _id, since: stoppedAt ?? heartbeatAt, message }
    }
  }
}

function* missed({ schedules, now }: Observed): Generator<Found> {
  for (const { _id, paused, nextAt } of schedules) {
    if (paused || nextAt === undefined || now.getTime() - nextAt.getTime() < LATE_MS) continue
    const message = 'The time of this schedule has passed, and no task was made'
    yield { kind: 'missed', urgency: 'now', subject: _id, schedule: _id, since: nextAt, message }
  }
}

function* atRisk({ atRisk: all }: Observed): Generator<Found> {
  for (const name of new Set(all)) {
    const count = all.filter((one) => one === name).length
    const message = `${tasks(count, 'such')} with a deadline within ${RISK_MS / MINUTE_MS} minutes`
    yield { kind: 'deadline', urgency: 'soon', subject: name, name, count, message }
  }
}

/** New errors, and those that rise. */
function* failing({ errors, now }: Observed): Generator<Found> {
  for (const { _id, code, tasks: names, trend, firstSeenAt, message: text } of errors) {
    const after = (hours: number): number =>
      trend
        .filter(({ hour }) => hour.getTime() > now.getTime() - hours * HOUR_MS)
        .reduce((sum, { count }) => sum + count, 0)
    const [lately, day] = [after(2), after(26)]
    if (lately === 0) continue
    const isNew = now.getTime() - firstSeenAt.getTime() < HOUR_MS
    const usual = (day - lately) / 12
    if (!isNew && (lately < LEAST_FAILURES || lately < TIMES_FAILURES * usual)) continue
    const failed = `${lately} failed ${lately === 1 ? 'attempt' : 'attempts'} of ${names.slice(0, 3).join(', ')}`
    const message = `${isNew ? 'New: ' : ''}${failed}${isNew ? '' : `, usually ${Math.round(usual)}`}: ${text.slice(0, 200)}`
    yield {
      ...{ kind: 'failing', urgency: lately >= LEAST_FAILURES ? 'now' : 'soon', subject: code, error: _id },
      ...{ count: lately, since: isNew ? firstSeenAt : undefined, message },
    }
  }
}

function* setAside({ setAside: count }: Observed): Generator<Found> {
  if (count === 0) return
  const message = `${count} malformed ${count === 1 ? 'document is' : 'documents are'} set aside; somebody changed them by hand`
  yield { kind: 'documents', urgency: 'soon', subject: 'documents', count, message }
}

/** Without a secret, the sessions of a fleet can be forged by everyone who can read its database. */
function* weak({ workers, now }: Observed): Generator<Found> {
  const without = workers.filter((one) => isAlive(one) && !isSilent(one, now) && one.secretIds?.length === 0)
  if (without.length === 0) return
  const message = 'TASKFLEET_SECRET is not set: anyone with read access to the database can forge sessions'
  yield { kind: 'weak', urgency: 'soon', subject: 'secret', count: without.length, message }
}

const isServing = (worker: WorkerDocument, now: Date): boolean =>
  worker.role === 'worker' && isAlive(worker) && !isSilent(worker, now)
