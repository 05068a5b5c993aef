import { isDeepStrictEqual } from 'node:util'
import { type NewTask, type ObjectId, TRANSITIONS, type Verb } from '@taskfleet/core/internal'
import {
  type AttemptOutcome,
  type FailureCounts,
  hasEnded,
  type IfFailed,
  PRIORITY_NAMES,
  type TaskStatus,
} from '@taskfleet/protocol'

/** How many losses a task may have before it fails. */
const LOSSES = 3
/** Less than a minute and more than nothing. */
const A_MOMENT = 0.01
const HIGH = 8
const HIGHEST = 10

/** The test's request to store a task; times are minutes from now, negative for past ones. */
export interface Wish {
  priority: number
  maxAttempts: number
  delay: number
  deadline?: number
}

/**
 * The expected state of one task by the lifecycle table and the contract, independent of the store's code. Times
 * are whole minutes on the task's own clock, so that the seconds of a test do not matter.
 */
export interface ModelTask {
  readonly id: ObjectId
  /** Its request, to send it again. */
  readonly asked: NewTask
  /** Removed, or not yet stored. */
  gone: boolean
  status: TaskStatus
  attempt: number
  failures: number
  lost: number
  maxAttempts: number
  priority: number
  basePriority: number
  outcomes: (AttemptOutcome | undefined)[]
  /** The lease of each attempt, from the claim's answer. */
  leases: string[]
  now: number
  runAt: number
  /** The session of its claim has ended. */
  workerGone?: boolean
  deadline?: number
  raiseAt?: number
  /** Raised to high because its deadline was near. */
  near: boolean
  /** Its deadline passed before it had ended. */
  missed: boolean
  control?: 'cancel' | 'pause'
  queue: string
  input: unknown
  output?: unknown
  checkpoint?: unknown
  /** The latest attempt that changed it. */
  checkpointAttempt?: number
  progress?: number
  key?: string
  /** A debounced one frees its key when it is claimed. */
  keyUntilClaimed: boolean
  after: ModelTask[]
  ifFailed: IfFailed
  /** Those of `after` that have completed, even if they were removed since. */
  completed: Set<ModelTask>
  /** Predecessors whose end no longer counts, up to this revision. */
  forgiven: Map<ModelTask, number>
  corrupt: boolean
  errorCode?: string
  /** Leases whose workers came back. */
  readonly survived: Set<string>
  rev: number
  /** Its document was written since the last comparison. */
  written: boolean
}

/** Records a transition, for the report of coverage. */
export type Note = (verb: Verb, from: TaskStatus, to: TaskStatus) => void

export function newModelTask(asked: NewTask, wish: Wish, after: readonly ModelTask[] = []): ModelTask {
  const task: ModelTask = {
    id: asked._id,
    asked,
    gone: false,
    status: 'pending',
    attempt: 0,
    failures: 0,
    lost: 0,
    maxAttempts: asked.maxAttempts,
    priority: asked.priority,
    basePriority: asked.priority,
    outcomes: [],
    leases: [],
    now: 0,
    runAt: wish.delay,
    near: false,
    missed: false,
    queue: asked.queue,
    input: asked.input,
    keyUntilClaimed: asked.debounceMs !== undefined,
    after: [...after],
    ifFailed: asked.ifFailed ?? 'fail',
    completed: new Set(),
    forgiven: new Map(),
    corrupt: false,
    survived: new Set(),
    rev: 1,
    written: true,
  }
  if (asked.key !== undefined) task.key = asked.key
  setDeadline(task, wish.deadline)
  remember(task)
  if (!isMet(task)) task.status = 'blocked'
  return task
}

/** A deadline so many minutes from now; a tenth of the time left before it, the task is raised. */
function setDeadline(task: ModelTask, minutes: number | undefined): void {
  task.near = false
  task.missed = false
  delete task.deadline
  delete task.raiseAt
  if (minutes === undefined) return
  task.deadline = task.now + minutes
  task.raiseAt = task.deadline - Math.max(0, minutes) / 10
  // No time is left to be raised in before.
  task.near = minutes <= 0
}

export const isWaiting = ({ gone, status }: ModelTask): boolean => !gone && !hasEnded(status) && status !== 'running'
export const isOpen = ({ gone, status }: ModelTask): boolean => !gone && !hasEnded(status)
export const isRunning = ({ gone, status }: ModelTask): boolean => !gone && status === 'running'
/** Due now or in a moment: a test is too slow to distinguish them. */
export const isDueSoon = (task: ModelTask): boolean => isDue({ ...task, now: task.now + A_MOMENT })

export const isDue = ({ gone, status, runAt, now }: ModelTask): boolean => !gone && status === 'pending' && runAt <= now

function touch(task: ModelTask): void {
  task.rev += 1
  task.written = true
}

/** Makes a transition of the table. `to` differs from the table's only if a request wins. */
function move(task: ModelTask, verb: Verb, note: Note, to: TaskStatus = TRANSITIONS[verb].to): void {
  const { from } = TRANSITIONS[verb]
  const before = task.status
  if (!(from as readonly TaskStatus[]).includes(before)) throw new Error(`the model moved '${verb}' from '${before}'`)
  task.status = to
  touch(task)
  if (before === 'running') {
    const { closes } = TRANSITIONS[verb] as { closes?: AttemptOutcome }
    task.outcomes[task.outcomes.length - 1] = closes
    delete task.workerGone
    delete task.control
  }
  if (hasEnded(to)) delete task.raiseAt
  note(verb, before, to)
}

const allows = (task: ModelTask, verb: Verb): boolean =>
  !task.gone && (TRANSITIONS[verb].from as readonly TaskStatus[]).includes(task.status)

export function claim(task: ModelTask, maxLost: number | undefined, note: Note): boolean {
  if (!isDue(task) || task.lost > (maxLost ?? task.lost)) return false
  if (task.corrupt) {
    move(task, 'quarantine', note)
    task.errorCode = 'CORRUPT'
    // Invalid values were replaced by defaults.
    task.priority = PRIORITY_NAMES.medium
    task.corrupt = false
    return false
  }
  move(task, 'claim', note)
  task.attempt += 1
  task.outcomes.push(undefined)
  if (task.keyUntilClaimed) delete task.key
  return true
}

/** Whether this lease proves that its holder runs the task. */
const owns = (task: ModelTask, lease: string): boolean => isRunning(task) && task.leases[task.attempt - 1] === lease

export function report(task: ModelTask, lease: string, progress: number | undefined): boolean {
  if (!owns(task, lease)) return false
  if (progress !== undefined) task.progress = progress
  touch(task)
  return true
}

export function saveCheckpoint(task: ModelTask, lease: string, state: unknown): boolean {
  if (!owns(task, lease)) return false
  // A task with progress is no longer a suspect.
  if (!isDeepStrictEqual(task.checkpoint ?? null, state)) {
    task.checkpointAttempt = task.attempt
    task.lost = 0
  }
  task.checkpoint = state
  touch(task)
  return true
}

type OwnersVerb = 'complete' | 'retry' | 'fail' | 'defer' | 'snooze' | 'release' | 'suspend' | 'stop'
export interface End {
  verb: OwnersVerb
  delay: number
  decay: boolean
  counts: FailureCounts
}

/** Near its deadline a task never falls below high, past it never below the highest. */
const leastPriority = ({ missed, near }: ModelTask): number => (missed ? HIGHEST : near ? HIGH : 1)

/** The answer to the end of an attempt. */
export function settle(task: ModelTask, lease: string, end: End, output: unknown, note: Note): string {
  const { verb, delay } = end
  if (!owns(task, lease)) return readBack(task, lease, verb)
  const asked = task.control
  /** Cancel wins over all but a result, and a pause over going back to waiting. */
  const unlessAsked = (to: TaskStatus): TaskStatus =>
    asked === 'cancel' ? 'cancelled' : asked === 'pause' && to === 'pending' ? 'paused' : to
  switch (verb) {
    case 'complete':
      move(task, verb, note)
      task.output = output
      task.lost = 0
      break
    case 'retry':
      addFailure(task, 'TEST')
      if (end.counts === 'without-progress' && task.checkpointAttempt === task.attempt) {
        task.failures = 0
        task.priority = Math.max(task.priority, task.basePriority)
        move(task, verb, note, unlessAsked('pending'))
        task.runAt = task.now + delay
        break
      }
      move(task, verb, note, unlessAsked(task.failures >= task.maxAttempts ? 'failed' : 'pending'))
      // A failure never raises it: a task near its deadline by the clock may not have been raised yet.
      if (end.decay) task.priority = Math.max(Math.min(leastPriority(task), task.priority), task.priority - 1)
      task.runAt = task.now + delay
      break
    case 'fail':
      addFailure(task, 'TEST')
      move(task, verb, note, unlessAsked('failed'))
      break
    case 'defer':
      task.errorCode = 'TEST'
      move(task, verb, note, unlessAsked('pending'))
      task.runAt = task.now + delay
      break
    case 'snooze':
      move(task, verb, note, unlessAsked('pending'))
      task.runAt = task.now + delay
      break
    case 'release':
      move(task, verb, note, unlessAsked('pending'))
      break
    case 'suspend':
      // The request for the pause may have been taken back.
      move(task, verb, note, unlessAsked('pending'))
      break
    case 'stop':
      move(task, verb, note)
  }
  return `owned ${task.status}`
}

/** Closed under its own lease and as it says: its earlier write counted, and only the answer was lost. */
function readBack(task: ModelTask, lease: string, verb: OwnersVerb): string {
  const index = task.gone ? -1 : task.leases.indexOf(lease)
  if (index < 0 || task.outcomes[index] !== TRANSITIONS[verb].closes) return 'fenced'
  // Where another attempt has begun since, this one left the task waiting.
  return `owned ${index === task.outcomes.length - 1 ? task.status : 'pending'}`
}

function addFailure(task: ModelTask, code: string): void {
  task.failures = Math.min(task.failures + 1, task.maxAttempts)
  task.errorCode = code
}

export function reap(task: ModelTask, note: Note): boolean {
  if (!isRunning(task) || task.workerGone !== true) return false
  const poison = task.lost + 1 >= LOSSES
  const before = task.lost
  task.lost += 1
  task.errorCode = poison ? 'POISON' : 'WORKER_LOST'
  if (task.control === 'cancel') move(task, 'reclaim', note, 'cancelled')
  else if (poison) move(task, 'expire', note)
  else move(task, 'reclaim', note, task.control === 'pause' ? 'paused' : 'pending')
  // The first loss is most often the worker's own. Later ones cost seconds, which the test makes a minute.
  if (before >= 1) task.runAt = task.now + 1
  return true
}

/** One loss less, once for each, where a worker lives that was taken for dead. */
export function comeBack(task: ModelTask, lease: string): boolean {
  const index = task.leases.indexOf(lease)
  if (!isOpen(task) || index < 0 || task.outcomes[index] !== 'lost' || task.survived.has(lease)) return false
  task.survived.add(lease)
  task.lost = Math.max(0, task.lost - 1)
  touch(task)
  return true
}

/** Ends or holds back what waits, and asks the owner of what runs. */
export function ask(task: ModelTask, action: 'cancel' | 'pause', note: Note): boolean {
  if (task.gone) return false
  if (isRunning(task)) {
    // The first request stays, but a pause gives way to a cancel.
    if (task.control !== 'cancel') task.control = action
    touch(task)
    return true
  }
  if (!allows(task, action)) return false
  move(task, action, note)
  return true
}

export function resume(task: ModelTask, note: Note): boolean {
  if (isRunning(task) && task.control === 'pause') {
    delete task.control
    touch(task)
    return true
  }
  if (!allows(task, 'resume')) return false
  if (isMet(task)) move(task, 'resume', note)
  else {
    move(task, 'block', note)
    remember(task)
    task.forgiven = new Map()
  }
  return true
}

/** Whether another open task of a queue has its key. */
const isKeyTaken = (task: ModelTask, queue: string, others: readonly ModelTask[]): boolean =>
  task.key !== undefined &&
  others.some((other) => other !== task && isOpen(other) && other.key === task.key && other.queue === queue)

/** All tries again, as it was asked for. The numbers of its attempts go on. */
export function rerun(task: ModelTask, others: readonly ModelTask[], note: Note): string {
  if (!allows(task, 'rerun')) return 'null'
  if (isKeyTaken(task, task.queue, others)) return 'KEY_EXISTS'
  const met = isMet(task)
  move(task, met ? 'rerun' : 'rewait', note)
  if (!met) {
    remember(task)
    task.forgiven = new Map(task.after.filter((one) => isOver(task, one)).map((one) => [one, one.gone ? 0 : one.rev]))
  }
  task.failures = 0
  task.lost = 0
  task.priority = task.basePriority
  task.runAt = task.now
  // Before its deadline it is still to be raised; whether it was once is over with the priority that it gave.
  if (task.deadline !== undefined && !task.missed) {
    const left = Math.max(0, task.deadline - task.now)
    task.raiseAt = task.deadline - left / 10
    task.near = left === 0
  }
  task.corrupt = false
  return 'changed'
}

export interface Edits {
  priority?: number
  delay?: number
  deadline?: number | null
  maxAttempts?: number
  input?: unknown
  queue?: string
  /** Other tasks to wait for. */
  after?: ModelTask[]
  ifFailed?: IfFailed
}

export function edit(task: ModelTask, edits: Edits, others: readonly ModelTask[], note: Note): string {
  if (!isWaiting(task)) return 'null'
  const refusal = dependencyRefusal(task, edits)
  if (refusal !== undefined) return refusal
  if (isKeyTaken(task, edits.queue ?? task.queue, others)) return 'KEY_EXISTS'
  editDependencies(task, edits, note)
  if (edits.priority !== undefined) {
    task.priority = edits.priority
    task.basePriority = edits.priority
    task.corrupt = false
  }
  if (edits.delay !== undefined) task.runAt = task.now + edits.delay
  if (edits.deadline !== undefined) setDeadline(task, edits.deadline ?? undefined)
  if (edits.maxAttempts !== undefined) task.maxAttempts = Math.max(edits.maxAttempts, task.failures)
  if ('input' in edits) task.input = edits.input
  if (edits.queue !== undefined) task.queue = edits.queue
  touch(task)
  return 'changed'
}

/** Why it can't wait for these. */
function dependencyRefusal(task: ModelTask, { after, ifFailed }: Edits): string | undefined {
  if ((after ?? task.after).length === 0 && ifFailed !== undefined) return 'BAD_VALUE'
  if (after?.includes(task)) return 'DEPENDENCY_CYCLE'
  if (after?.some(({ gone }) => gone)) return 'NOT_FOUND'
  return after?.some((one) => waitsFor(one, task)) === true ? 'DEPENDENCY_CYCLE' : undefined
}

/** What it waits for from now on. */
function editDependencies(task: ModelTask, { after, ifFailed }: Edits, note: Note): void {
  if (after === undefined && ifFailed === undefined) return
  const wanted = after ?? task.after
  const kept = [...task.forgiven].filter(([one, rev]) => wanted.includes(one) && (one.gone || one.rev <= rev))
  task.after = [...wanted]
  task.ifFailed = ifFailed ?? (wanted.length === 0 ? 'fail' : task.ifFailed)
  remember(task)
  task.completed = new Set([...task.completed].filter((one) => wanted.includes(one)))
  task.forgiven = new Map(kept.filter(([one]) => isOver(task, one)))
  const verb = isMet(task) ? 'unblock' : 'block'
  if (task.status !== 'paused' && allows(task, verb)) {
    move(task, verb, note)
    // One write for all of the edit.
    task.rev -= 1
  }
}

/** Whether a task waits for another one, directly or through others. What has completed waits for nothing any more. */
const waitsFor = (task: ModelTask, other: ModelTask): boolean =>
  !task.gone && task.status !== 'completed' && task.after.some((one) => one === other || waitsFor(one, other))

const hasCompleted = (task: ModelTask, one: ModelTask): boolean =>
  task.completed.has(one) || (!one.gone && one.status === 'completed')
/** Ended or removed without having completed. */
const isOver = (task: ModelTask, one: ModelTask): boolean =>
  !hasCompleted(task, one) && (one.gone || hasEnded(one.status))
const isMet = (task: ModelTask): boolean =>
  task.after.every((one) => hasCompleted(task, one) || (task.ifFailed === 'run' && isOver(task, one)))

function remember(task: ModelTask): void {
  for (const one of task.after) if (hasCompleted(task, one)) task.completed.add(one)
}

/** A blocked task goes, ends or stays, as its predecessors stand. True when it has ended. */
function reconsider(task: ModelTask, note: Note): boolean {
  if (task.gone || task.status !== 'blocked') return false
  const because = task.after.find((one) => {
    const excused = task.forgiven.get(one)
    return isOver(task, one) && !(excused !== undefined && (one.gone || one.rev <= excused))
  })
  if (because !== undefined && (task.ifFailed === 'fail' || task.ifFailed === 'cancel')) {
    task.errorCode = 'PREDECESSOR_FAILED'
    move(task, task.ifFailed === 'fail' ? 'abandon' : 'skip', note)
    return true
  }
  const before = task.completed.size
  remember(task)
  if (isMet(task)) {
    task.forgiven = new Map()
    move(task, 'unblock', note)
  } else if (task.completed.size !== before) task.written = true
  return false
}

/** Looks at blocked tasks, and at those that wait for what ends by it. */
export function reconsiderAll(tasks: readonly ModelTask[], all: readonly ModelTask[], note: Note): void {
  const ended = tasks.filter((task) => reconsider(task, note))
  if (ended.length > 0) follow(ended, all, note)
}

/** Those that wait for tasks which have ended, or are removed, are looked at. */
export function follow(ended: readonly ModelTask[], all: readonly ModelTask[], note: Note): void {
  const over = ended.filter(({ gone, status }) => gone || hasEnded(status))
  if (over.length === 0) return
  reconsiderAll(
    all.filter(({ after }) => after.some((one) => over.includes(one))),
    all,
    note,
  )
}

/** A newer request with its key takes the place of one that waits. */
export function replace(task: ModelTask, asked: NewTask, wish: Wish): boolean {
  if (!isWaiting(task)) return false
  task.priority = asked.priority
  task.basePriority = asked.priority
  task.maxAttempts = Math.max(asked.maxAttempts, task.failures)
  task.input = asked.input
  task.runAt = task.now + wish.delay
  task.corrupt = false
  setDeadline(task, wish.deadline)
  touch(task)
  return true
}

export function raise(task: ModelTask): boolean {
  if (!isOpen(task) || task.raiseAt === undefined || task.raiseAt > task.now) return false
  if (task.deadline! <= task.now) {
    task.priority = HIGHEST
    task.missed = true
    delete task.raiseAt
  } else {
    task.priority = Math.max(task.priority, HIGH)
    task.near = true
    task.raiseAt = task.deadline!
  }
  touch(task)
  return true
}

export function remove(task: ModelTask): boolean {
  if (task.gone || !hasEnded(task.status)) return false
  task.gone = true
  task.written = true
  return true
}
