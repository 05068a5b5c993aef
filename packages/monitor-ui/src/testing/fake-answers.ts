import {
  afterIds,
  type CoverageRow,
  type ExplainReason,
  type Explanation,
  hasEnded,
  type TaskRow,
} from '@taskfleet/protocol'
import type { FakeFleet } from './fake-fleet.ts'
import { iso } from './rows.ts'

/** Why a task does not run, in the gateway's words, from what the fake fleet holds. */
export function explainTask(task: TaskRow, fleet: FakeFleet): Explanation {
  const about = { id: task._id, status: task.status }
  if (task.status === 'blocked') return { ...about, ...blocked(task, fleet) }
  const whole = notWaiting(task, fleet)
  if (whole !== undefined) return { ...about, willRun: whole.willRun, reasons: [whole.reason] }
  const reasons = waiting(task, fleet)
  const stands = reasons.some(({ code }) => ['QUEUE_PAUSED', 'NOT_SERVED', 'QUEUE_NOT_SERVED'].includes(code))
  return { ...about, willRun: !stands, reasons }
}

function notWaiting(task: TaskRow, fleet: FakeFleet): { willRun: boolean; reason: ExplainReason } | undefined {
  if (hasEnded(task.status)) {
    return { willRun: false, reason: { code: 'ENDED', message: `It has ${task.status}; retry or replay it` } }
  }
  if (task.status === 'running') {
    const name = fleet.workers.get(task.worker ?? '')?.name ?? task.worker
    return { willRun: true, reason: { code: 'RUNNING', message: `It runs on ${name}` } }
  }
  if (task.status === 'paused') {
    return { willRun: false, reason: { code: 'PAUSED', message: 'It is paused until somebody resumes it' } }
  }
  return undefined
}

function blocked(task: TaskRow, fleet: FakeFleet): Pick<Explanation, 'willRun' | 'reasons'> {
  const waits = afterIds(task)
    .map((id) => ({ id, status: fleet.tasks.get(id)?.status }))
    .filter(({ status }) => status !== 'completed')
  return {
    willRun: waits.every(({ status }) => status !== undefined && !hasEnded(status)),
    reasons: waits.map(({ id, status }) => ({
      code: 'BLOCKED',
      task: id,
      message: `It waits until the task ${id} completes, which ${status === undefined ? 'is gone' : `is ${status}`}`,
    })),
  }
}

function waiting(task: TaskRow, fleet: FakeFleet): ExplainReason[] {
  const reasons: ExplainReason[] = []
  const queue = fleet.queues.get(task.queue)
  if (queue?.paused === true) {
    const why = queue.reason === undefined ? '' : `: ${queue.reason}`
    reasons.push({ code: 'QUEUE_PAUSED', message: `The queue '${task.queue}' is paused by ${queue.by}${why}` })
  }
  const due = Date.parse(task.runAt) <= fleet.now()
  if (!due) reasons.push({ code: 'NOT_DUE', at: task.runAt, message: `It becomes active at ${task.runAt}` })
  const blocker = workersReason(task, due, fleet)
  if (blocker !== undefined) reasons.push(blocker)
  if (reasons.length === 0) {
    reasons.push({ code: 'ABOUT_TO_RUN', message: 'A worker has a free slot for it: it starts now' })
  }
  return reasons
}

function workersReason(task: TaskRow, due: boolean, fleet: FakeFleet): ExplainReason | undefined {
  const what = `${task.name}@${task.version}`
  const able = [...fleet.workers.values()].filter(
    ({ role, state, tasks }) => role === 'worker' && state === 'running' && tasks.includes(what),
  )
  if (able.length === 0) return { code: 'NOT_SERVED', message: `No live worker can run ${what}` }
  const serving = able.filter(({ queues }) => queues.includes(task.queue))
  const names = (workers: { name: string }[]) => workers.map(({ name }) => name)
  if (serving.length === 0) {
    return {
      code: 'QUEUE_NOT_SERVED',
      workers: names(able),
      message: `${names(able).join(', ')} can run ${what}, but none of them serves the queue '${task.queue}'`,
    }
  }
  if (!due) return undefined
  const gated = serving.filter(({ gate }) => gate !== undefined && (!gate.open || (task.lazy && !gate.lazy)))
  if (gated.length === serving.length) {
    return {
      code: 'GATE_CLOSED',
      workers: names(gated),
      message: gated.map(({ name, gate }) => `${name} takes nothing now: ${gate?.reason}`).join('; '),
    }
  }
  if (serving.some((worker) => !gated.includes(worker) && worker.running < worker.slots)) return undefined
  const ahead = [...fleet.tasks.values()].filter(
    (other) => other.status === 'pending' && other._id !== task._id && other.priority > task.priority,
  ).length
  return {
    code: 'NO_FREE_SLOT',
    ahead,
    workers: names(serving),
    message: `Every slot of ${names(serving).join(', ')} is taken, and ${ahead} ${ahead === 1 ? 'task comes' : 'tasks come'} before it`,
  }
}

/** Which `name@version` waits or runs, and who serves it; those that nobody serves come first. */
export function coverageOf(fleet: FakeFleet): CoverageRow[] {
  const rows = new Map<string, CoverageRow>()
  for (const { queue, name, version, status, runAt } of fleet.tasks.values()) {
    if (status !== 'pending' && status !== 'running') continue
    const what = `${name}@${version}`
    const workers = [...fleet.workers.values()]
      .filter(({ role, state, tasks }) => role === 'worker' && state === 'running' && tasks.includes(what))
      .map((worker) => worker.name)
    const row = rows.get(`${queue} ${what}`) ?? {
      queue,
      name,
      version,
      waiting: 0,
      due: 0,
      running: 0,
      oldest: runAt,
      workers,
      served: workers.length > 0,
      schedules: [],
      callbacks: 0,
    }
    if (status === 'running') row.running += 1
    else row.waiting += 1
    if (status === 'pending' && runAt <= iso(fleet.now())) row.due += 1
    if (row.oldest === undefined || runAt < row.oldest) row.oldest = runAt
    rows.set(`${queue} ${what}`, row)
  }
  return [...rows.values()].sort(
    (a, b) => Number(a.served) - Number(b.served) || a.name.localeCompare(b.name) || a.version - b.version,
  )
}
