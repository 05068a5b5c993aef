import type { TaskDocument } from '@taskfleet/core'
import { afterOf, type Changes, type NewTask, Outcome, type TaskStore } from '@taskfleet/core/internal'
import { FleetError, type IfFailed } from '@taskfleet/protocol'
import { Types } from 'mongoose'
import { newTask, testClaimant, testError } from '../task-factory.ts'
import type { Edits, End, ModelTask, Note, Wish } from './model-task.ts'
import * as model from './model-task.ts'

export const MINUTE = 60_000
const MOST_TASKS = 5
const SOON_MS = 10_000
/** Nobody's lease. */
const FOREIGN = 'another-worker'

/** What the test does to documents behind the store's back. */
export interface Tampering {
  /** All dates of a task lie so many milliseconds further back. */
  moveBack(id: Types.ObjectId, ms: number): Promise<void>
  /** Ends the session on which it rests, and no other task's. */
  loseWorker(id: Types.ObjectId): Promise<void>
  /** The seconds that a task waits after a repeated loss are made a minute, which does not pass during a run, however slow. */
  holdLost(ids: readonly Types.ObjectId[]): Promise<void>
  /** Makes it what no worker can run. */
  corrupt(id: Types.ObjectId): Promise<void>
}

/** What one run of commands works on: the believed tasks and the store. */
export interface World {
  readonly store: TaskStore
  readonly tampering: Tampering
  /** The run's own, so that runs don't meet. */
  readonly queue: string
  readonly key: string
  /** False on a server that keeps a unique value taken after an update gave it up. */
  readonly freesKeys: boolean
  readonly tasks: ModelTask[]
  /** Leases that claims answered with, by the task's id, since the last look. */
  readonly claimed: Map<string, string[]>
  readonly note: Note
}

/** One operation of a run. */
export interface Operation {
  readonly name: string
  /** Not an operation of the store: only done once at a time. */
  readonly single?: true
  /** False if there is no task for it, or if it would repeat a known error of the store. */
  can(world: World): boolean
  /** Decides the exact request, which may be sent more than once. */
  begin(world: World): Sending | Promise<Sending>
}

interface Sending {
  /** Calls the store and returns its answer. */
  call(): Promise<string>
  /** Applies it to the model, and returns the expected answer of the store. */
  expect(): string
}

const changed = (done: boolean): string => (done ? 'changed' : 'null')
const answered = (document: unknown): string => changed(document !== null && document !== false)
const codeOf = (error: unknown): string => {
  if (error instanceof FleetError) return error.code
  throw error
}
const minutesFromNow = (minutes: number): Date => new Date(Date.now() + minutes * MINUTE)

/** The request as it is sent, with the model's minutes made dates. */
function request(world: World, wish: Wish, over: Partial<NewTask>): NewTask {
  return newTask({
    _id: new Types.ObjectId(),
    queue: world.queue,
    input: { wish: Math.random() },
    priority: wish.priority,
    maxAttempts: wish.maxAttempts,
    ...(wish.delay === 0 ? {} : { runAt: minutesFromNow(wish.delay) }),
    ...(wish.deadline === undefined ? {} : { deadline: minutesFromNow(wish.deadline) }),
    ...over,
  })
}

const some = ({ tasks }: World): boolean => tasks.length > 0
const document = ({ id }: ModelTask): TaskDocument => ({ _id: id }) as TaskDocument

/** In two of three cases a task for which it is allowed, if there is one, so that runs advance; else any. */
function pick({ tasks }: World, at: number, fits: (task: ModelTask) => boolean = () => true): ModelTask {
  const fitting = at % 3 === 0 ? [] : tasks.filter(fits)
  const choice = fitting.length > 0 ? fitting : tasks
  return choice[Math.floor(at / 3) % choice.length]!
}

/** Several of them, each once. */
function picked(world: World, at: readonly number[]): ModelTask[] {
  return [...new Set(at.map((one) => pick(world, one, model.isOpen)))]
}

/** The lease of its last claim, of an earlier one, or an unknown lease. */
export type Whose = 'own' | 'old' | 'foreign'
function leaseOf(task: ModelTask, whose: Whose): string {
  if (whose === 'foreign') return FOREIGN
  return task.leases.at(whose === 'own' ? -1 : -2) ?? FOREIGN
}

const stored = (tasks: readonly TaskDocument[]): string => `stored ${tasks[0]!._id.toHexString()}`

/** The predecessors of a new task. */
export interface Follows {
  /** Which of the tasks. */
  at: readonly number[]
  ifFailed?: IfFailed
}

export function enqueue(wish: Wish, follows: Follows | undefined, position: 'front' | 'back'): Operation {
  return {
    name: `enqueue ${JSON.stringify({ ...wish, follows, position })}`,
    can: ({ tasks }) => tasks.length < MOST_TASKS,
    begin: (world) => {
      const { tasks, store } = world
      const after = follows !== undefined && some(world) ? picked(world, follows.at) : []
      const ifFailed = after.length === 0 ? undefined : follows?.ifFailed
      const asked = request(world, wish, {
        position,
        ...(after.length === 0 ? {} : { after: afterOf(after.map(({ id }) => id)) }),
        ...(ifFailed === undefined ? {} : { ifFailed }),
      })
      return {
        call: () => store.enqueue([asked]).then(stored, codeOf),
        expect: () => {
          // A removed task never completes, so no task may wait for it.
          const there = tasks.find(({ id }) => id === asked._id)
          if (there === undefined && after.some(({ gone }) => gone)) return 'NOT_FOUND'
          const task = there ?? model.newModelTask(asked, wish, after)
          if (there === undefined) tasks.push(task)
          model.reconsiderAll([task], tasks, world.note)
          return `stored ${asked._id.toHexString()}`
        },
      }
    },
  }
}

/** A request that is sent again after its answer was lost, or another one with the same id. */
export function enqueueAgain(at: number, other: boolean): Operation {
  const there = (task: ModelTask): boolean => !task.gone
  return {
    name: `enqueue-again ${at}${other ? ' with other content' : ''}`,
    can: (world) => some(world) && there(pick(world, at, there)),
    begin: (world) => {
      const task = pick(world, at, there)
      // It may have been edited since: the request is compared with the stored task.
      const { input, basePriority: priority, queue } = task
      const asked = { ...task.asked, priority, queue, input: other ? { other: true } : input }
      return {
        call: () => world.store.enqueue([asked]).then(stored, codeOf),
        expect: () => {
          model.reconsiderAll([task], world.tasks, world.note)
          return other ? 'TASK_EXISTS' : `stored ${task.id.toHexString()}`
        },
      }
    },
  }
}

const holderOf = ({ tasks, key, queue }: World): ModelTask | undefined =>
  tasks.find((task) => task.key === key && task.queue === queue && model.isOpen(task))

export function enqueueKeyed(wish: Wish, policy: NewTask['keyPolicy'], debounce: number | undefined): Operation {
  const replaces = policy === 'replace' || debounce !== undefined
  return {
    name: `enqueue-keyed, ${debounce === undefined ? policy : `debounced ${debounce} min`} ${JSON.stringify(wish)}`,
    can: (world) => {
      const { tasks, key, freesKeys } = world
      if (holderOf(world) !== undefined) return true
      return tasks.length < MOST_TASKS && (freesKeys || !tasks.some((task) => task.asked.key === key))
    },
    begin: (world) => {
      const { runAt, ...plain } = request(world, wish, { key: world.key, keyPolicy: policy })
      const timed = debounce === undefined ? (runAt === undefined ? {} : { runAt }) : { debounceMs: debounce * MINUTE }
      const asked: NewTask = { ...plain, ...timed }
      const wanted = debounce === undefined ? wish : { ...wish, delay: debounce }
      return {
        call: () => world.store.enqueue([asked]).then(stored, codeOf),
        expect: () => {
          const holder = holderOf(world)
          if (holder === undefined) {
            world.tasks.push(model.newModelTask(asked, wanted))
            return `stored ${asked._id.toHexString()}`
          }
          const answersWithHolder =
            holder.id === asked._id || (replaces && model.replace(holder, asked, wanted)) || policy === 'return'
          return answersWithHolder ? `stored ${holder.id.toHexString()}` : 'KEY_EXISTS'
        },
      }
    },
  }
}

/** One task, or all at once. */
export function claim(at: number | 'all', maxLost?: number): Operation {
  return {
    name: `claim ${at}${maxLost === undefined ? '' : ` unless more than ${maxLost} have died with it`}`,
    can: some,
    begin: (world) => {
      const targets = at === 'all' ? [...world.tasks] : [pick(world, at, model.isDue)]
      const ids = targets.map(({ id }) => id)
      return {
        call: async () => {
          const claims = await world.store.claim(ids, {
            ...testClaimant,
            ...(maxLost === undefined ? {} : { maxLost }),
          })
          for (const { task, leaseId } of claims) {
            const id = task._id.toHexString()
            world.claimed.set(id, [...(world.claimed.get(id) ?? []), leaseId])
          }
          return 'claimed'
        },
        expect: () => {
          for (const task of targets) model.claim(task, maxLost, world.note)
          model.follow(
            targets.filter(({ corrupt }) => corrupt),
            world.tasks,
            world.note,
          )
          return 'claimed'
        },
      }
    },
  }
}

/** A worker that counted as dead comes back and takes its loss back. */
export function comeBack(at: number, whose: Whose): Operation {
  return {
    name: `come back with the ${whose} lease of ${at}`,
    can: some,
    begin: (world) => {
      const task = pick(world, at, model.isWaiting)
      const lease = leaseOf(task, whose)
      return {
        call: () => world.store.takeBackLoss(task.id, lease).then(changed),
        expect: () => changed(model.comeBack(task, lease)),
      }
    },
  }
}

export function report(at: number, whose: Whose, progress: number | undefined): Operation {
  return {
    name: `report ${progress} of ${at} by its ${whose} lease`,
    can: some,
    begin: (world) => {
      const task = pick(world, at, model.isRunning)
      const leaseId = leaseOf(task, whose)
      const told = progress === undefined ? {} : { progress: { ratio: progress, at: new Date() } }
      return {
        call: () => world.store.report([{ id: task.id, leaseId, ...told }]).then(() => 'told'),
        expect: () => {
          model.report(task, leaseId, progress)
          return 'told'
        },
      }
    },
  }
}

export function saveCheckpoint(at: number, whose: Whose, state: unknown): Operation {
  return {
    name: `checkpoint ${at} by its ${whose} lease`,
    can: some,
    begin: (world) => {
      const task = pick(world, at, model.isRunning)
      const lease = leaseOf(task, whose)
      return {
        call: () => world.store.saveCheckpoint(task.id, lease, state).then(changed),
        expect: () => changed(model.saveCheckpoint(task, lease, state)),
      }
    },
  }
}

function outcome({ verb, delay, decay, counts }: End, output: unknown): Outcome {
  switch (verb) {
    case 'complete':
      return Outcome.completed(output)
    case 'retry':
      return Outcome.retry(testError, delay * MINUTE, { decay, counts })
    case 'defer':
      return Outcome.deferred(testError, delay * MINUTE)
    case 'fail':
      return Outcome.failed(testError)
    case 'snooze':
      return Outcome.snoozed(delay * MINUTE)
    case 'release':
      return Outcome.released()
    case 'suspend':
      return Outcome.suspended()
    case 'stop':
      return Outcome.stopped()
  }
}

/** Ends an attempt in some way, or as requested of its owner. */
export function settle(at: number, whose: Whose, wanted: End | 'as asked', output: unknown): Operation {
  return {
    name: `${wanted === 'as asked' ? 'obey' : wanted.verb} ${at} by its ${whose} lease`,
    can: some,
    begin: (world) => {
      const task = pick(world, at, model.isRunning)
      const end =
        wanted === 'as asked' ? { verb: asAsked(task), delay: 0, decay: true, counts: 'every' as const } : wanted
      const leaseId = leaseOf(task, whose)
      return {
        call: async () => {
          const settled = await world.store.settle({ task: document(task), leaseId }, outcome(end, output))
          return settled.owned ? `owned ${settled.status}` : 'fenced'
        },
        expect: () => model.settle(task, leaseId, end, output, world.note),
      }
    },
  }
}

const asAsked = ({ control }: ModelTask): End['verb'] =>
  control === 'cancel' ? 'stop' : control === 'pause' ? 'suspend' : 'complete'

/** An operation on one task that needs no more than its id. */
function onOne(
  name: string,
  at: number,
  fits: (task: ModelTask) => boolean,
  call: (store: TaskStore, task: ModelTask) => Promise<string>,
  expect: (task: ModelTask, world: World) => string,
  faulty: (task: ModelTask) => boolean = () => false,
): Operation {
  return {
    name: `${name} ${at}`,
    can: (world) => some(world) && !faulty(pick(world, at, fits)),
    begin: (world) => {
      const task = pick(world, at, fits)
      return { call: () => call(world.store, task), expect: () => expect(task, world) }
    },
  }
}

export const cancel = (at: number): Operation =>
  onOne(
    'cancel',
    at,
    model.isOpen,
    (store, { id }) => store.cancel(id, 'test').then(answered),
    (task, { note, tasks }) => {
      const done = model.ask(task, 'cancel', note)
      if (done) model.follow([task], tasks, note)
      return changed(done)
    },
  )

export const pause = (at: number): Operation =>
  onOne(
    'pause',
    at,
    model.isOpen,
    (store, { id }) => store.pause(id, 'test').then(answered),
    (task, { note }) => changed(model.ask(task, 'pause', note)),
  )

export const resume = (at: number): Operation =>
  onOne(
    'resume',
    at,
    ({ status, control }) => status === 'paused' || control === 'pause',
    (store, { id }) => store.resume(id).then(answered),
    (task, { note, tasks }) => {
      const done = model.resume(task, note)
      if (done) model.reconsiderAll([task], tasks, note)
      return changed(done)
    },
  )

export const rerun = (at: number): Operation =>
  onOne(
    'rerun',
    at,
    ({ status }) => status === 'failed' || status === 'cancelled',
    (store, { id }) => store.rerun(id).then(answered, codeOf),
    (task, { tasks, note }) => {
      const answer = model.rerun(task, tasks, note)
      if (answer === 'changed') model.reconsiderAll([task], tasks, note)
      return answer
    },
  )

export const remove = (at: number): Operation =>
  onOne(
    'remove',
    at,
    (task) => !model.isOpen(task),
    (store, { id }) => store.remove(id).then(answered),
    (task, { tasks, note }) => {
      // The result of its end comes first.
      if (!task.gone) model.follow([task], tasks, note)
      const done = model.remove(task)
      if (done) model.follow([task], tasks, note)
      return changed(done)
    },
  )

/** An edit with its predecessors still to be picked. */
export type EditWish = Omit<Edits, 'after'> & { after?: readonly number[] }

export function edit(at: number, edits: EditWish, seen: 'any' | 'current' | 'stale'): Operation {
  return {
    name: `edit ${at}, ${seen} revision: ${JSON.stringify(edits)}`,
    // A task that takes its key to another queue frees it in the one that it leaves.
    can: (world) =>
      some(world) &&
      (edits.queue === undefined || world.freesKeys || !world.tasks.some(({ key }) => key !== undefined)),
    begin: (world) => {
      const task = pick(world, at, model.isWaiting)
      const rev = seen === 'any' ? undefined : task.rev - (seen === 'stale' ? 1 : 0)
      const queue = edits.queue === undefined ? {} : { queue: `${world.queue}${edits.queue}` }
      const { after: wanted, ...plain } = edits
      const after = wanted === undefined ? {} : { after: picked(world, wanted) }
      const ids = after.after === undefined ? {} : { after: after.after.map(({ id }) => id) }
      const changes = { ...changesOf(plain), ...queue, ...ids }
      return {
        call: () => world.store.edit(task.id, changes, rev).then(answered, codeOf),
        expect: () => {
          if (rev !== undefined && rev !== task.rev) return 'null'
          const answer = model.edit(task, { ...plain, ...queue, ...after }, world.tasks, world.note)
          const waits = edits.after !== undefined || edits.ifFailed !== undefined
          if (answer === 'changed' && waits) model.reconsiderAll([task], world.tasks, world.note)
          return answer
        },
      }
    },
  }
}

function changesOf({ delay, deadline, queue, ...plain }: Omit<Edits, 'after'>): Changes {
  return {
    ...plain,
    ...(delay === undefined ? {} : { runAt: minutesFromNow(delay) }),
    ...(deadline === undefined ? {} : { deadline: deadline === null ? null : minutesFromNow(deadline) }),
  }
}

export function advance(at: number, minutes: number): Operation {
  return {
    name: `advance ${at} by ${minutes} min`,
    single: true,
    can: (world) => some(world) && !pick(world, at).gone,
    begin: (world) => {
      const task = pick(world, at)
      return {
        call: () => world.tampering.moveBack(task.id, minutes * MINUTE).then(() => 'moved'),
        expect: () => {
          task.now += minutes
          task.written = true
          return 'moved'
        },
      }
    },
  }
}

/** A worker dies: the leases of its tasks run out, and a reaper takes them back. */
export function lose(at: number): Operation {
  return {
    name: `lose the worker of ${at}`,
    can: (world) => some(world) && model.isRunning(pick(world, at, model.isRunning)),
    begin: (world) => {
      const task = pick(world, at, model.isRunning)
      return {
        call: async () => {
          await world.tampering.loseWorker(task.id)
          await reapAndHold(world)
          return 'reaped'
        },
        expect: () => {
          // Sent twice, it finds nothing the second time.
          if (model.isRunning(task)) task.workerGone = true
          reapAll(world)
          return 'reaped'
        },
      }
    },
  }
}

/** Operations on all tasks at once. */
function onAll(name: string, call: (world: World) => Promise<unknown>, expect: (world: World) => void): Operation {
  return {
    name,
    can: some,
    begin: (world) => ({
      call: () => call(world).then(() => 'done'),
      expect: () => {
        expect(world)
        return 'done'
      },
    }),
  }
}

function reapAll({ tasks, note }: World): void {
  const reaped = tasks.filter((task) => model.reap(task, note))
  model.follow(reaped, tasks, note)
}

async function reapAndHold({ store, tampering, tasks }: World): Promise<void> {
  const before = await Promise.all(tasks.map(({ id }) => store.find(id)))
  await store.reap()
  await tampering.holdLost(before.flatMap((task) => (task?.status === 'running' ? [task._id] : [])))
}

export const reap = (): Operation => onAll('reap', reapAndHold, reapAll)

export const raiseDue = (): Operation =>
  onAll(
    'raise',
    ({ store }) => store.raiseDue(),
    ({ tasks }) => tasks.forEach((task) => model.raise(task)),
  )

export const unblock = (): Operation =>
  onAll(
    'unblock',
    ({ store }) => store.unblockAll(),
    ({ tasks, note }) => model.reconsiderAll(tasks, tasks, note),
  )

/** A task is changed by hand in the database, and a worker reads it. */
export function corrupt(at: number): Operation {
  return {
    name: `corrupt ${at} and claim it`,
    can: (world) => some(world) && model.isDue(pick(world, at, model.isDue)),
    begin: async (world) => {
      const task = pick(world, at, model.isDue)
      await world.tampering.corrupt(task.id)
      task.corrupt = true
      task.written = true
      return {
        call: () => world.store.claim([task.id], testClaimant).then(({ length }) => `${length} claimed`),
        expect: () => {
          model.claim(task, undefined, world.note)
          model.follow([task], world.tasks, world.note)
          return '0 claimed'
        },
      }
    },
  }
}

/** The tasks that a worker finds: all due ones, the urgent first. */
export function look(): Operation {
  const urgentFirst = (tasks: readonly { priority: number }[]): string =>
    JSON.stringify(tasks.map(({ priority }) => priority).sort((a, b) => b - a))
  return {
    name: 'look for work',
    can: some,
    begin: ({ store, queue, tasks }) => ({
      call: async () => {
        const served = { queues: [queue, `${queue}-2`], tasks: new Map([['test', { oldest: 1, newest: 1 }]]) }
        const { due, next } = await store.waiting(served, 50)
        if (due.some(({ priority }, index) => priority > (due[index - 1]?.priority ?? 10))) return 'out of order'
        // A task stored a moment ago may seem to be of the next millisecond.
        const soon = next.filter(({ runAt }) => runAt.getTime() < Date.now() + SOON_MS)
        return `${urgentFirst([...due, ...soon])} ${[...due, ...soon].map(({ _id }) => _id.toHexString()).sort()}`
      },
      expect: () => {
        const due = tasks.filter(model.isDueSoon)
        return `${urgentFirst(due)} ${due.map(({ id }) => id.toHexString()).sort()}`
      },
    }),
  }
}
