import { BatchRefused, type EntryProblem, FleetError, type StoredTask } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import type { Principal } from '../auth/key-store.ts'
import { reaches, requireReach } from '../auth/reach.ts'
import { confirmed } from '../database/unknown-outcome.ts'
import type { Fleet } from '../fleet.ts'
import { toFullRow } from '../live/wire.ts'
import { keyInQueue, openUnderKeys } from '../task/enqueuing.ts'
import { TRANSACTION_LIMIT, unfitForLargeBatch } from '../task/large-batches.ts'
import { type NewTask, parseNewTask } from '../task/new-task.ts'
import { parseId } from '../task/parse-value.ts'
import type { TaskDocument } from '../task/task-document.ts'
import { isPlain } from '../task/task-updates.ts'
import { requirePredecessors } from './predecessor-reach.ts'

type Parts = Pick<Fleet, 'tasks' | 'store' | 'batches' | 'handlers' | 'database'>

/** The most tasks that one request may store. */
const BATCH_LIMIT = 10_000

/** The stored tasks; `fresh` if at least one of them is new. */
export interface Created {
  tasks: StoredTask[]
  fresh: boolean
}

/** A checked request, with fixed ids. */
export type Checked = { one: NewTask } | { batch: NewTask[] }

/**
 * @param body a task or a list of tasks
 * @throws {FleetError} as `parseNewTask`; `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED`; for a list, with a problem for each invalid entry
 */
export function checkTasks(principal: Principal, body: unknown): Checked {
  const check = (request: unknown): NewTask => {
    const task = parseNewTask(request)
    requireReach(principal, task)
    return task
  }
  if (!Array.isArray(body)) return { one: check(body) }
  return { batch: checkList(body, check) }
}

/**
 * @param check checks one entry
 * @throws {FleetError} `BAD_REQUEST`, `TOO_MANY_TASKS`; `BatchRefused` with a problem for each invalid entry
 */
function checkList(body: readonly unknown[], check: (request: unknown) => NewTask): NewTask[] {
  if (body.length === 0) throw new FleetError('BAD_REQUEST', 'A batch must have at least one task')
  if (body.length > BATCH_LIMIT) {
    throw new FleetError('TOO_MANY_TASKS', `A batch may have at most ${BATCH_LIMIT} tasks; this one has ${body.length}`)
  }
  const errors: EntryProblem[] = []
  const batch: NewTask[] = []
  body.forEach((request: unknown, index) => {
    try {
      const task = check(request)
      refuseInBatch(task)
      batch.push(task)
    } catch (error) {
      if (!(error instanceof FleetError)) throw error
      errors.push(entryProblem(index, error))
    }
  })
  errors.push(...twins(batch))
  if (batch.length > TRANSACTION_LIMIT) errors.push(...unfit(batch))
  if (errors.length > 0) throw new BatchRefused(errors)
  return batch
}

/** Options whose effect depends on existing tasks can't be part of an all-or-none batch. */
function refuseInBatch({ keyPolicy, debounceMs, throttleMs }: NewTask): void {
  const field =
    keyPolicy !== 'reject'
      ? 'keyPolicy'
      : debounceMs !== undefined
        ? 'debounce'
        : throttleMs !== undefined
          ? 'throttle'
          : undefined
  if (field !== undefined)
    throw new FleetError('BAD_VALUE', `'${field}' is not allowed in a batch; store this task alone`, { field })
}

/** The entries that can't be in a list that is too long for one transaction. */
function unfit(batch: readonly NewTask[]): EntryProblem[] {
  const all = new Set(batch.map(({ _id }) => _id.toHexString()))
  const earlier = new Set<string>()
  return batch.flatMap((task, index) => {
    const field = unfitForLargeBatch(task, earlier, all)
    earlier.add(task._id.toHexString())
    if (field === undefined) return []
    const rule = field === 'key' ? "can't have keys" : 'must have a task after the tasks that it waits for'
    return [{ index, code: 'BAD_VALUE', title: `A list of more than ${TRANSACTION_LIMIT} tasks ${rule}`, field }]
  })
}

/** Entries of one batch with the same id or key. */
function twins(batch: readonly NewTask[]): EntryProblem[] {
  const seen = new Set<string>()
  return batch.flatMap(({ _id, queue, key }, index) => {
    const found: EntryProblem[] = []
    const id = `id ${_id.toHexString()}`
    if (seen.has(id))
      found.push({ index, code: 'TASK_EXISTS', title: 'Another task of this batch has the same id', field: '_id' })
    seen.add(id)
    if (key === undefined) return found
    const own = `key ${keyInQueue({ queue, key })}`
    if (seen.has(own))
      found.push({ index, code: 'KEY_EXISTS', title: 'Another task of this batch has the same key', field: 'key' })
    seen.add(own)
    return found
  })
}

export const entryProblem = (index: number, error: FleetError): EntryProblem => ({
  index,
  code: error.code,
  title: error.message,
  ...given({ field: error.field }),
})

/** Stores checked tasks. Repeating a request stores nothing new. */
export async function storeTasks(fleet: Parts, principal: Principal, checked: Checked): Promise<Created> {
  const { tasks, fresh } = await storeDocuments(fleet, principal, checked)
  return { tasks: await Promise.all(tasks.map((task) => storedRow(fleet, task))), fresh }
}

/** The row to return, with a warning if no live worker serves the task. */
export async function storedRow({ handlers }: Parts, task: TaskDocument): Promise<StoredTask> {
  const row = toFullRow<StoredTask>('tasks', task)
  return (await handlers.isServed(task)) ? row : { ...row, served: false }
}

/** As `storeTasks`, but returns the stored documents. */
export async function storeDocuments(
  fleet: Parts,
  principal: Principal,
  checked: Checked,
): Promise<{ tasks: TaskDocument[]; fresh: boolean }> {
  const asked = 'one' in checked ? [checked.one] : checked.batch
  await requirePredecessors(fleet.tasks, principal, asked)
  await checkInputs(fleet, checked)
  const made = await storeNew(fleet, asked)
  if (made !== undefined) return { tasks: made, fresh: true }
  const there = await stored(fleet, asked)
  const tasks = 'one' in checked ? await fleet.store.enqueue(asked) : await storeBatch(fleet, asked)
  for (const [index, task] of tasks.entries()) requireOwnKey(principal, asked[index]!, task)
  const known = new Set(there.map(({ _id }) => _id.toHexString()))
  const fresh = tasks.some(({ _id }) => !known.has(_id.toHexString()))
  return { tasks, fresh }
}

/**
 * With `keyPolicy: 'return'`, the existing task with the key is returned. If it has another name, the key may not be allowed to
 * see it.
 *
 * @throws {FleetError} `KEY_EXISTS`
 */
export function requireOwnKey(principal: Principal, { key }: NewTask, answer: TaskDocument): void {
  if (reaches(principal, answer)) return
  throw new FleetError('KEY_EXISTS', `This queue already has an open task with the key '${key}'`, { field: 'key' })
}

/** @throws {FleetError} `INPUT_INVALID`; for a list, with a problem for each invalid entry */
async function checkInputs({ handlers }: Parts, checked: Checked): Promise<void> {
  if ('one' in checked) {
    await handlers.check(checked.one)
    return
  }
  const errors: EntryProblem[] = []
  for (const [index, task] of checked.batch.entries()) {
    await handlers.check(task).catch((error: unknown) => {
      if (!(error instanceof FleetError)) throw error
      errors.push(entryProblem(index, error))
    })
  }
  if (errors.length > 0) throw new BatchRefused(errors)
}

/**
 * Stores a list of new plain tasks, all or none. Returns undefined if a task is not plain or not new, or if the transaction
 * failed: then the caller must look at the stored tasks.
 */
async function storeNew(fleet: Parts, batch: readonly NewTask[]): Promise<TaskDocument[] | undefined> {
  if (batch.length < 2 || batch.length > TRANSACTION_LIMIT || !batch.every(isPlain)) return undefined
  const session = fleet.database.getClient().startSession()
  try {
    session.startTransaction()
    const made = await fleet.store.enqueue(batch, session)
    await session.commitTransaction()
    return made
  } catch (error) {
    if (error instanceof FleetError) throw error
    return undefined
  } finally {
    await session.endSession()
  }
}

/** All or none. @throws {BatchRefused} */
async function storeBatch(fleet: Parts, batch: readonly NewTask[]): Promise<TaskDocument[]> {
  if (batch.length > TRANSACTION_LIMIT) return storeLargeBatch(fleet, batch)
  const session = fleet.database.getClient().startSession()
  const ids = batch.map(({ _id }) => _id.toHexString())
  try {
    return await confirmed(() => session.withTransaction(() => store(session)), ids)
  } finally {
    await session.endSession()
  }

  async function store(session: mongo.ClientSession): Promise<TaskDocument[]> {
    // Read again in each try, because a write in between aborts the transaction.
    const there = new Map((await stored(fleet, batch)).map((task) => [task._id.toHexString(), task]))
    const errors = [...(await takenKeys(fleet, batch, there)), ...(await changed(fleet, batch, there))]
    if (errors.length > 0) throw new BatchRefused(errors)
    const fresh = batch.filter(({ _id }) => !there.has(_id.toHexString()))
    const made = await fleet.store.enqueue(fresh, session)
    for (const task of made) there.set(task._id.toHexString(), task)
    return batch.map(({ _id }) => there.get(_id.toHexString())!)
  }
}

async function storeLargeBatch(fleet: Parts, batch: readonly NewTask[]): Promise<TaskDocument[]> {
  const there = new Map((await stored(fleet, batch)).map((task) => [task._id.toHexString(), task]))
  const errors = await changed(fleet, batch, there)
  if (errors.length > 0) throw new BatchRefused(errors)
  const fresh = batch.filter(({ _id }) => !there.has(_id.toHexString()))
  if (fresh.length > 0) await fleet.batches.store(fresh)
  for (const task of await stored(fleet, fresh)) there.set(task._id.toHexString(), task)
  return batch.flatMap(({ _id }) => there.get(_id.toHexString()) ?? [])
}

const stored = (fleet: Parts, tasks: readonly NewTask[]): Promise<TaskDocument[]> =>
  fleet.tasks.find({ _id: { $in: tasks.map(({ _id }) => _id) } }).toArray()

/** Entries whose id belongs to a different task. The store decides which tasks are the same. */
async function changed(
  fleet: Parts,
  batch: readonly NewTask[],
  there: ReadonlyMap<string, TaskDocument>,
): Promise<EntryProblem[]> {
  const errors: EntryProblem[] = []
  for (const [index, task] of batch.entries()) {
    if (!there.has(task._id.toHexString())) continue
    try {
      await fleet.store.enqueue([task])
    } catch (error) {
      if (!(error instanceof FleetError)) throw error
      errors.push(entryProblem(index, error))
    }
  }
  return errors
}

async function takenKeys(
  fleet: Parts,
  batch: readonly NewTask[],
  there: ReadonlyMap<string, TaskDocument>,
): Promise<EntryProblem[]> {
  const keyed = batch.flatMap(({ queue, key, _id }, index) =>
    key === undefined || there.has(_id.toHexString()) ? [] : [{ queue, key, index }],
  )
  if (keyed.length === 0) return []
  const holders = await fleet.tasks.find(openUnderKeys(keyed), { projection: { queue: 1, key: 1 } }).toArray()
  const taken = new Set(holders.map(keyInQueue))
  return keyed
    .filter((one) => taken.has(keyInQueue(one)))
    .map(({ key, index }) => ({
      index,
      code: 'KEY_EXISTS',
      title: `This queue already has an open task with the key '${key}'`,
      field: 'key',
    }))
}

/** The same request with the ids of its first try. */
export function withIds(checked: Checked, ids: readonly string[]): Checked {
  const fixed = (task: NewTask, index: number): NewTask => ({ ...task, _id: parseId(ids[index]) })
  return 'one' in checked ? { one: fixed(checked.one, 0) } : { batch: checked.batch.map(fixed) }
}
