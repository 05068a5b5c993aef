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
const MAX_QUERY_MS = 2_000

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
  const { id, ids, filter } = selection as { id?: unknown; ids?: unknown; filter?: unknown }
  if ([id, ids, filter].filter((one) => one !== undefined).length !== 1) {
    throw new FleetError('BAD_REQUEST', "Give exactly one of 'id', 'ids' and 'filter' to select tasks")
  }
  if (filter !== undefined) {
    const matching = byPhase(byEnd({ $and: [visibleTo(principal) ?? {}, compileFilter(filter), whenFiltered] }))
    // Not sorted by the server: it would read all tasks in the order of their ids, instead of the index of the status or the end.
    const found = await tasks
      .find(matching as mongo.Filter<TaskDocument>, { maxTimeMS: MAX_QUERY_MS })
      .limit(SELECTION_LIMIT + 1)
      .toArray()
    if (found.length <= SELECTION_LIMIT) return found.sort((a, b) => compareValues(a._id, b._id))
    throw new FleetError('TOO_MANY', `The filter matches more than ${SELECTION_LIMIT} tasks; narrow it`, {
      field: 'filter',
    })
  }
  const found = await tasks.find({ _id: { $in: wantedIds(id, ids) } }).toArray()
  if (found.length === 0 && ids === undefined)
    throw new FleetError('NOT_FOUND', 'There is no such task', { field: 'id' })
  for (const task of found) requireReach(principal, task)
  return found
}

function wantedIds(id: unknown, ids: unknown): ObjectId[] {
  if (ids === undefined) return [parseId(id)]
  if (!Array.isArray(ids) || ids.length > SELECTION_LIMIT) {
    throw new FleetError('BAD_REQUEST', `'ids' must be a list of at most ${SELECTION_LIMIT} ids`, { field: 'ids' })
  }
  return ids.map((one, index) => parseId(one, `ids.${index}`))
}
