import { hasEnded, STATUSES, type TaskStatus } from '@taskfleet/protocol'

type Filter = Record<string, unknown>

const HAS_ENDED: Filter = { finishedAt: { $exists: true } }

/**
 * A filter of tasks as it is sent to the database. Each index of tasks holds one phase, and a server uses it only for a query that names
 * the status of open tasks by equality, or `finishedAt` of ended ones. So a filter of several statuses becomes an `$or` with a branch for
 * each phase, which a server plans one by one. A filter that requires no status stays as it is.
 */
export function byPhase(filter: Filter): Filter {
  const statuses = statusesOf(filter)
  if (statuses === undefined) return filter
  const open = statuses.filter((status) => !hasEnded(status)).map((status): Filter => ({ status }))
  const phases = statuses.some(hasEnded) ? [...open, HAS_ENDED] : open
  if (phases.length === 0) return filter
  const [only] = phases
  if (phases.length > 1) return { $or: phases.map((phase) => ({ $and: [phase, filter] })) }
  return only!.status !== undefined && only!.status === filter.status ? filter : { $and: [only, filter] }
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
