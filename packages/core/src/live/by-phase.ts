import { hasEnded, STATUSES, type TaskStatus } from '@taskfleet/protocol'

type Filter = Record<string, unknown>

/**
 * A filter of tasks as it is sent to the database. The indexes of open tasks hold one phase each, and a server uses one only for a query
 * that names its status by equality. So a filter of several open statuses becomes an `$or` with a branch for each, which a server plans
 * one by one. A filter that ended tasks may fit stays as it is: nothing but their status says for sure that they have ended.
 */
export function byPhase(filter: Filter): Filter {
  const statuses = statusesOf(filter)
  if (statuses === undefined || statuses.length < 2 || statuses.some(hasEnded)) return filter
  return { $or: statuses.map((status) => ({ $and: [{ status }, filter] })) }
}

/** The statuses of which a task must have one; undefined if the filter names none. */
function statusesOf({ status, $and: all }: Filter): readonly TaskStatus[] | undefined {
  if (status !== undefined) {
    const { $eq: equal = status, $in: among = [equal] } = Object(status) as { $eq?: unknown; $in?: unknown[] }
    return STATUSES.filter((one) => among.includes(one))
  }
  for (const part of Array.isArray(all) ? (all as Filter[]) : []) {
    const found = statusesOf(part)
    if (found !== undefined) return found
  }
  return undefined
}
