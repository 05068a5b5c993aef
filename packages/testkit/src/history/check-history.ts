import { isDeepStrictEqual } from 'node:util'
import type { TaskDocument } from '@taskfleet/core'
import { TRANSITIONS } from '@taskfleet/core/internal'
import { type AttemptOutcome, hasEnded } from '@taskfleet/protocol'
import type { Step } from './task-stream.ts'

/** The history as its participants report it, and as the database has it. */
export interface History {
  steps: readonly Step[]
  /** Ids of the tasks whose enqueue was acknowledged. */
  acked: readonly string[]
  /** The ends of attempts that workers know to have counted. */
  ends: readonly { id: string; lease: string; outcome: AttemptOutcome }[]
  /** Sessions that were ended, and how long before by the harness's clock they had been renewed. */
  ended: readonly { session: string; silentMs: number; leaseMs: number }[]
  /** What is stored at rest. */
  tasks: readonly TaskDocument[]
}

/**
 * Compares a history with the lifecycle. Every write of a task is one step on one document, so it is enough to replay the steps in
 * their order: no search for an order is needed.
 *
 * @returns the errors; empty for a correct history
 */
export function checkHistory(history: History): string[] {
  return [
    ...stepsOf(history).flatMap(([id, steps]) => checkSteps(id, steps, history)),
    ...checkTold(history),
    ...checkEnds(history),
    ...checkRest(history),
  ]
}

function stepsOf({ steps }: History): [string, TaskDocument[]][] {
  const tasks = new Map<string, TaskDocument[]>()
  for (const { id, task } of steps) if (task !== null) tasks.set(id, [...(tasks.get(id) ?? []), task])
  return [...tasks]
}

/** Claims and ends are linearizable: each step is one that the table allows, and raises `rev`. */
function checkSteps(id: string, states: readonly TaskDocument[], { ended }: History): string[] {
  const wrong: string[] = []
  const gone = new Set(ended.map(({ session }) => session))
  const [first, ...later] = states
  if (first!.rev !== 1 || first!.attempt !== 0)
    wrong.push(`${id} begins at rev ${first!.rev}, attempt ${first!.attempt}`)
  later.forEach((now, index) => {
    const before = states[index]!
    const at = `${id} rev ${before.rev} → ${now.rev}`
    if (now.rev <= before.rev) wrong.push(`${at}: a write that does not raise the revision`)
    if (now.status !== before.status && !isAllowed(before, now)) wrong.push(`${at}: ${before.status} → ${now.status}`)
    const claimed = before.status !== 'running' && now.status === 'running'
    if (now.attempt !== before.attempt + (claimed ? 1 : 0))
      wrong.push(`${at}: attempt ${before.attempt} → ${now.attempt}`)
    if ((now.lease !== undefined) !== (now.status === 'running'))
      wrong.push(`${at}: ${now.status} with the wrong lease`)
    if (!claimed && now.lease !== undefined && now.lease.id !== before.lease?.id) wrong.push(`${at}: another lease`)
    if (before.status === 'running' && now.status !== 'running') wrong.push(...checkClosed(at, before, now, gone))
  })
  return wrong
}

const isAllowed = (before: TaskDocument, now: TaskDocument): boolean =>
  Object.values(TRANSITIONS).some(
    ({ from, to }) => (from as readonly string[]).includes(before.status) && to === now.status,
  )

/** Leaving `running` closes the attempt; it is lost only with its session. */
function checkClosed(at: string, before: TaskDocument, now: TaskDocument, gone: ReadonlySet<string>): string[] {
  const closed = now.attempts.find(({ lease }) => lease === before.lease?.id)
  if (closed?.outcome === undefined) return [`${at}: its attempt is left open`]
  if ((now.status === 'completed') !== (closed.outcome === 'completed'))
    return [`${at}: ${now.status} by an attempt that is ${closed.outcome}`]
  if (closed.outcome === 'lost' && !gone.has(closed.worker)) return [`${at}: lost, and its session lives`]
  return []
}

/** An acknowledged end closed the worker's own attempt, and at most one worker completed the task. */
function checkTold({ ends, tasks }: History): string[] {
  const byId = new Map(tasks.map((task) => [String(task._id), task]))
  const completed = new Set<string>()
  return ends.flatMap(({ id, lease, outcome }) => {
    const wrong: string[] = []
    const its = byId.get(id)?.attempts.find((attempt) => attempt.lease === lease)
    if (its?.outcome !== outcome) wrong.push(`${id}: lease ${lease} was told ${outcome} and is ${its?.outcome}`)
    if (outcome === 'completed' && completed.has(id)) wrong.push(`${id}: two were told that they completed it`)
    if (outcome === 'completed') completed.add(id)
    return wrong
  })
}

/** A session is ended only when it has been silent for its lease. */
const checkEnds = ({ ended }: History): string[] =>
  ended
    .filter(({ silentMs, leaseMs }) => silentMs < leaseMs)
    .map(
      ({ session, silentMs, leaseMs }) =>
        `session ${session} was ended ${silentMs} ms after a renewal for ${leaseMs} ms`,
    )

/** None is lost, all have ended, and the attempts of each are complete. */
function checkRest({ acked, tasks }: History): string[] {
  const stored = new Set(tasks.map(({ _id }) => String(_id)))
  const lost = acked.filter((id) => !stored.has(id)).map((id) => `${id} was acknowledged and is gone`)
  return [...lost, ...tasks.flatMap(checkTask)]
}

function checkTask({ _id, status, attempt, attempts }: TaskDocument): string[] {
  const wrong: string[] = []
  if (!hasEnded(status)) wrong.push(`${_id} is ${status} at rest`)
  const numbers = attempts.map(({ n }) => n)
  const wanted = Array.from({ length: attempt }, (_, index) => index + 1)
  if (!isDeepStrictEqual(numbers, wanted)) wrong.push(`${_id}: its ${attempt} attempts are numbered ${numbers}`)
  if (hasEnded(status) && attempts.some(({ outcome }) => outcome === undefined)) wrong.push(`${_id}: an open attempt`)
  const completed = attempts.filter(({ outcome }) => outcome === 'completed')
  if (completed.length > 1 || (completed.length === 1 && attempts.at(-1) !== completed[0]))
    wrong.push(`${_id}: completed more than once, or run again`)
  return wrong
}
