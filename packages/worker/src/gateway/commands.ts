import {
  type CommandAnswer,
  compileFilter,
  type Fleet,
  FleetError,
  hasEnded,
  type ObjectId,
  type Principal,
  parseId,
  parseNewTask,
  requireReach,
  type TaskDocument,
  type TaskRow,
  taskModel,
  toFullRow,
  visibleTo,
} from '@taskfleet/core'
import { z } from 'zod'

const MOST = 10_000

export const selectionSchema = z
  .object({
    id: z.unknown(),
    ids: z.array(z.unknown()).max(MOST),
    /** Left to `compileFilter`, which knows every key; a schema that drops one would widen the selection. */
    filter: z.unknown(),
    dryRun: z.boolean(),
    reason: z.string().max(500),
  })
  .partial()
  .strict()
  .refine(({ id, ids, filter }) => [id, ids, filter].filter((one) => one !== undefined).length === 1, {
    message: "Exactly one of 'id', 'ids' and 'filter' says which tasks are meant",
  })
export type Selection = z.infer<typeof selectionSchema>

/** Stores a task for a client. @throws {FleetError} as `parseNewTask`, `requireReach` and `TaskStore.enqueue` do */
export async function enqueueTask(fleet: Fleet, principal: Principal, request: unknown): Promise<TaskRow> {
  const task = parseNewTask(request)
  requireReach(principal, task)
  const [stored] = await fleet.store.enqueue([task])
  return toFullRow<TaskRow>('tasks', stored!)
}

/** Cancels what the selection names. Cancelling twice is no fault. */
export async function cancelTasks(fleet: Fleet, principal: Principal, selection: Selection): Promise<CommandAnswer> {
  const open = { status: { $nin: ['completed', 'failed', 'cancelled'] } }
  const tasks = await selectTasks(fleet, principal, selection, open)
  const answer: CommandAnswer = { matched: tasks.length, changed: 0, refused: [] }
  if (selection.dryRun === true) return answer
  for (const { _id } of tasks) {
    const cancelled = await fleet.store.cancel(_id, principal.id, selection.reason)
    if (cancelled !== null) {
      answer.changed += 1
      continue
    }
    const now = await fleet.store.find(_id)
    if (now !== null && now.status !== 'cancelled' && hasEnded(now.status)) {
      answer.refused.push({
        id: _id.toHexString(),
        error: { code: 'ALREADY_ENDED', message: `It has ${now.status} already` },
      })
    }
  }
  return answer
}

type Selected = Pick<TaskDocument, '_id' | 'status' | 'queue' | 'name'>

/**
 * The tasks that a command means, within what the key may touch.
 *
 * @param whenFiltered narrows a filter to the tasks that the command can do something about
 * @throws {FleetError} `NOT_FOUND` for a single id, `TOO_MANY` for a filter, and what `compileFilter` and `parseId` throw
 */
async function selectTasks(
  fleet: Fleet,
  principal: Principal,
  { id, ids, filter }: Selection,
  whenFiltered: Record<string, unknown>,
): Promise<Selected[]> {
  const tasks = taskModel(fleet.database.connection).collection
  const projection = { status: 1, queue: 1, name: 1 }
  if (filter !== undefined) {
    const matching = { $and: [visibleTo(principal) ?? {}, compileFilter(filter), whenFiltered] }
    const found = (await tasks
      .find(matching, { projection, maxTimeMS: 2_000 })
      .limit(MOST + 1)
      .toArray()) as unknown as Selected[]
    if (found.length > MOST)
      throw new FleetError('TOO_MANY', `The filter matches more than ${MOST} tasks; narrow it`, { field: 'filter' })
    return found
  }
  const wanted: ObjectId[] = (ids ?? [id]).map((one, index) => parseId(one, ids === undefined ? 'id' : `ids.${index}`))
  const found = (await tasks.find({ _id: { $in: wanted } }, { projection }).toArray()) as unknown as Selected[]
  if (found.length === 0 && ids === undefined)
    throw new FleetError('NOT_FOUND', 'There is no such task', { field: 'id' })
  for (const task of found) requireReach(principal, task)
  return found
}
