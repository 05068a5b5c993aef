import { type ExplainReason, type Explanation, hasEnded, shortDuration } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { problemOf } from '../documents/set-aside.ts'
import { misfits } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { serves } from '../handlers/published-handlers.ts'
import type { StartRates } from '../task/start-rates.ts'
import type { TaskDocument } from '../task/task-document.ts'
import type { WorkerDocument } from '../worker/worker-model.ts'
import type { WorkerRegister } from '../worker/worker-register.ts'
import { explainBlocked } from './explain-blocked.ts'
import type { QueueDocument, QueueRegister } from './queue-register.ts'

export interface ExplainDeps {
  tasks: mongo.Collection<TaskDocument>
  workers: WorkerRegister
  queues: QueueRegister
  rates: StartRates
  now: Date
  /** Whether the caller may see a task. */
  mayShow: (task: { queue: string; name: string }) => boolean
}

const COUNTED = 1_000

/** Explains why a task doesn't run, from the state of the task, its queue and the workers in the database. */
export async function explain(task: TaskDocument, deps: ExplainDeps): Promise<Explanation> {
  const about = { id: String(task._id), status: task.status }
  const wrong = misfits(SHAPES.tasks, { ...task })
  if (wrong.length > 0 && !hasEnded(task.status)) {
    const message = `The task's document is malformed: ${problemOf(wrong)}. See 'taskfleet doctor'`
    return {
      ...about,
      status: SHAPES.tasks.fields.status!.kind.is(task.status) ? task.status : 'failed',
      willRun: false,
      reasons: [{ code: 'CORRUPT', message }],
    }
  }
  if (task.status === 'blocked') return { ...about, ...(await explainBlocked(task, deps.tasks, deps.mayShow)) }
  const whole = await notWaiting(task, deps)
  if (whole !== null) return { ...about, willRun: whole.willRun, reasons: [whole.reason] }
  const reasons: ExplainReason[] = []
  const queue = await deps.queues.find(task.queue)
  if (queue?.paused === true) {
    const why = queue.reason === undefined ? '' : `: ${queue.reason}`
    reasons.push({ code: 'QUEUE_PAUSED', message: `The queue '${task.queue}' is paused by ${queue.by}${why}` })
  }
  if (queue?.concurrency !== undefined) {
    const running = await deps.tasks.countDocuments({ status: 'running', queue: task.queue })
    if (running >= queue.concurrency) {
      const message = `The queue '${task.queue}' is at its limit: ${running} of at most ${queue.concurrency} tasks run in the whole fleet`
      reasons.push({ code: 'QUEUE_FULL', message })
    }
  }
  const due = task.runAt <= deps.now
  const elsewhere = due ? null : await placeReason(task, deps)
  if (elsewhere !== null) reasons.push(elsewhere)
  else if (!due) {
    const at = task.runAt.toISOString()
    reasons.push({ code: 'NOT_DUE', at, message: `It is scheduled for ${at}` })
  }
  const rate = due ? await rateReason(queue, deps) : null
  if (rate !== null) reasons.push(rate)
  const blocker = await workersReason(task, due, deps)
  if (blocker !== null) reasons.push(blocker)
  if (reasons.length === 0)
    reasons.push({ code: 'ABOUT_TO_RUN', message: 'A worker has a free slot for it: it starts now' })
  const stands = reasons.some(({ code }) => ['QUEUE_PAUSED', 'NOT_SERVED', 'QUEUE_NOT_SERVED'].includes(code))
  return { ...about, willRun: !stands, reasons }
}

/** A worker elsewhere has the first go at a task that others may claim only later. */
async function placeReason(
  { affinity, runAt }: TaskDocument,
  { workers, now }: ExplainDeps,
): Promise<ExplainReason | null> {
  if (!(affinity?.since instanceof Date) || affinity.since > now || affinity.since > runAt) return null
  const at = runAt.toISOString()
  const live = (await workers.live()).some(({ role, name }) => role === 'worker' && name === affinity.host)
  const away = live ? '' : `; no worker of this name is live now`
  const message = `${affinity.host} has what earlier attempts have done, and the first go until ${at}; after that, any worker takes it${away}`
  return { code: 'CHECKPOINT_ELSEWHERE', at, workers: [affinity.host], message }
}

async function rateReason(queue: QueueDocument | null, { rates, now }: ExplainDeps): Promise<ExplainReason | null> {
  if (queue?.rate === undefined) return null
  const { limit, per } = queue.rate
  const next = await rates.nextStart(queue._id, queue.rate, now)
  if (next === null) return null
  const at = next.toISOString()
  const what = `The rate of the queue '${queue._id}', ${limit} per ${shortDuration(per)}, is used up`
  return { code: 'RATE_LIMITED', at, message: `${what}; the next start is at ${at}` }
}

/** Explains a task that isn't waiting for a worker. */
async function notWaiting(
  task: TaskDocument,
  { workers }: ExplainDeps,
): Promise<{ willRun: boolean; reason: ExplainReason } | null> {
  if (hasEnded(task.status)) {
    const corrupt = task.error?.code === 'CORRUPT'
    return {
      willRun: false,
      reason: corrupt
        ? { code: 'CORRUPT', message: task.error!.message }
        : { code: 'ENDED', message: `It has ${task.status}; retry or replay it to run it again` },
    }
  }
  if (task.status === 'running') {
    const worker = task.worker === undefined ? null : await workers.find(task.worker)
    const asked = task.control === undefined ? '' : `; ${task.control.by} requested to ${task.control.action} it`
    return { willRun: true, reason: { code: 'RUNNING', message: `It runs on ${worker?.name ?? task.worker}${asked}` } }
  }
  if (task.status === 'paused') {
    return { willRun: false, reason: { code: 'PAUSED', message: 'It is paused until it is resumed' } }
  }
  return null
}

/** Explains why no worker has claimed a waiting task. */
async function workersReason(task: TaskDocument, due: boolean, deps: ExplainDeps): Promise<ExplainReason | null> {
  const live = (await deps.workers.live()).filter(({ role }) => role === 'worker')
  const able = live.filter((worker) => serves(worker, task.name, task.version))
  const what = `${task.name}@${task.version}`
  if (able.length === 0) {
    const drained = live.filter((worker) => worker.state !== 'running' && worker.tasks.includes(what))
    const but = drained.length === 0 ? '' : `; ${names(drained)} could, but is draining`
    return { code: 'NOT_SERVED', message: `No live worker can run ${what}${but}` }
  }
  const serving = able.filter(({ queues }) => queues.includes(task.queue))
  if (serving.length === 0) {
    return {
      code: 'QUEUE_NOT_SERVED',
      workers: able.map(({ name }) => name),
      message: `${names(able)} can run ${what}, but none of them serves the queue '${task.queue}'`,
    }
  }
  if (!due) return null
  const gated = serving.filter(({ gate }) => gate !== undefined && (!gate.open || (task.lazy && !gate.lazy)))
  if (gated.length === serving.length) {
    return {
      code: 'GATE_CLOSED',
      workers: gated.map(({ name }) => name),
      message: gated
        .map(({ name, gate }) => `${name} takes ${task.lazy ? 'no lazy task' : 'nothing'} now: ${gate?.reason}`)
        .join('; '),
    }
  }
  const free = serving.filter((worker) => !gated.includes(worker) && worker.running < worker.slots)
  if (free.length > 0) return null
  const ahead = await countAhead(task, deps)
  const count = ahead >= COUNTED ? `${COUNTED} or more` : String(ahead)
  return {
    code: 'NO_FREE_SLOT',
    ahead,
    workers: serving.map(({ name }) => name),
    message: `Every slot of ${names(serving)} is taken, and ${count} ${ahead === 1 ? 'task comes' : 'tasks come'} before it`,
  }
}

/** How many waiting tasks of its queue are claimed before it, counted up to a limit. */
async function countAhead(task: TaskDocument, { tasks, now }: ExplainDeps): Promise<number> {
  const ahead = {
    status: 'pending',
    queue: task.queue,
    runAt: { $lte: now },
    $or: [
      { priority: { $gt: task.priority } },
      { priority: task.priority, order: { $lt: task.order } },
      { priority: task.priority, order: task.order, _id: { $lt: task._id } },
    ],
  } as mongo.Filter<TaskDocument>
  return tasks.countDocuments(ahead, { limit: COUNTED, maxTimeMS: 2_000 })
}

const names = (workers: readonly WorkerDocument[]): string => workers.map(({ name }) => name).join(', ')
