import { FleetError, type TaskSelection } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Principal } from '../auth/key-store.ts'
import { requireReach, visibleTo } from '../auth/reach.ts'
import { byEnd, byPhase } from '../live/by-phase.ts'
import { compareValues } from '../live/compare.ts'
import { compileFilter } from '../live/query.ts'
import { parseId } from '../task/parse-value.ts'
import type { ObjectId, TaskDocument } from '../task/task-document.ts'

/** The most tasks that one command may select. */
const SELECTION_LIMIT = 10_000
/** The most tasks that a bulk operation may select. */
const BULK_LIMIT = 100_000
const MAX_QUERY_MS = 2_000
/** Reading the ids of many tasks takes longer. */
const MAX_IDS_MS = 10_000

/**
 * The tasks that a command selects, within the key's reach, in the order of their ids.
 *
 * @param whenFiltered narrows a filter to the tasks that the command can change
 * @throws {FleetError} `NOT_FOUND` for a single id, `TOO_MANY` for a filter, `BAD_REQUEST`, `QUEUE_NOT_ALLOWED`,
 *   `NAME_NOT_ALLOWED`, and what `compileFilter` and `parseId` throw
 */
export async function selectTasks(
  tasks: mongo.Collection<TaskDocument>,
  principal: Principal,
  selection: TaskSelection,
  whenFiltered: Record<string, unknown>,
): Promise<TaskDocument[]> {
  const { id, ids, filter } = wantedOf(selection)
  if (filter !== undefined) {
    const found = await tasks
      .find(matching(principal, filter, whenFiltered), { maxTimeMS: MAX_QUERY_MS })
      .limit(SELECTION_LIMIT + 1)
      .toArray()
    if (found.length <= SELECTION_LIMIT) return found.sort((a, b) => compareValues(a._id, b._id))
    throw tooMany(SELECTION_LIMIT)
  }
  const found = await tasks.find({ _id: { $in: wantedIds(id, ids) } }).toArray()
  if (found.length === 0 && ids === undefined)
    throw new FleetError('NOT_FOUND', 'There is no such task', { field: 'id' })
  for (const task of found) requireReach(principal, task)
  return found
}

/**
 * The ids of the tasks that a bulk operation selects, as `selectTasks`: up to 100,000 by a filter.
 *
 * @throws {FleetError} as `selectTasks`
 */
export async function selectIds(
  tasks: mongo.Collection<TaskDocument>,
  principal: Principal,
  selection: TaskSelection,
  whenFiltered: Record<string, unknown>,
): Promise<ObjectId[]> {
  const { filter } = wantedOf(selection)
  if (filter === undefined) {
    return (await selectTasks(tasks, principal, selection, whenFiltered)).map(({ _id }) => _id)
  }
  const found = await tasks
    .find(matching(principal, filter, whenFiltered), { projection: { _id: 1 }, maxTimeMS: MAX_IDS_MS })
    .limit(BULK_LIMIT + 1)
    .toArray()
  if (found.length > BULK_LIMIT) throw tooMany(BULK_LIMIT)
  return found.map(({ _id }) => _id).sort(compareValues)
}

/** Not sorted by the server: it would read all tasks in the order of their ids, instead of the index of the status or the end. */
function matching(
  principal: Principal,
  filter: unknown,
  whenFiltered: Record<string, unknown>,
): mongo.Filter<TaskDocument> {
  return byPhase(byEnd({ $and: [visibleTo(principal) ?? {}, compileFilter(filter), whenFiltered] })) as never
}

const tooMany = (limit: number): FleetError =>
  new FleetError('TOO_MANY', `The filter matches more than ${limit} tasks; narrow it`, { field: 'filter' })

/** @throws {FleetError} `BAD_REQUEST` */
function wantedOf(selection: TaskSelection): { id?: unknown; ids?: unknown; filter?: unknown } {
  const { id, ids, filter } = selection as { id?: unknown; ids?: unknown; filter?: unknown }
  if ([id, ids, filter].filter((one) => one !== undefined).length === 1) return { id, ids, filter }
  throw new FleetError('BAD_REQUEST', "Give exactly one of 'id', 'ids' and 'filter' to select tasks")
}

function wantedIds(id: unknown, ids: unknown): ObjectId[] {
  if (ids === undefined) return [parseId(id)]
  if (!Array.isArray(ids) || ids.length > SELECTION_LIMIT) {
    throw new FleetError('BAD_REQUEST', `'ids' must be a list of at most ${SELECTION_LIMIT} ids`, { field: 'ids' })
  }
  return ids.map((one, index) => parseId(one, `ids.${index}`))
}
