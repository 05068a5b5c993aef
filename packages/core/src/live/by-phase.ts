import { hasEnded, STATUSES, type TaskStatus } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'

type Filter = Record<string, unknown>

/**
 * A filter of tasks as it is sent to the database. The indexes of open tasks hold one phase each, and a server uses one only for a query
 * that names its status by equality. So a filter of several open statuses becomes an `$or` with a branch for each, which a server plans
 * one by one. A filter that ended tasks may fit stays as it is: nothing but their status says for sure that they have ended.
 */
export function byPhase(filter: Filter): Filter {
  const statuses = statusesOf(filter)
  if (statuses === undefined) return withBranchesByPhase(filter)
  if (statuses.length === 0 || statuses.some(hasEnded)) return filter
  if (statusesOf({ status: filter.status })?.length === 1) return filter
  const [first, ...others] = statuses.map((status) => ({ $and: [{ status }, filter] }))
  return others.length === 0 ? first! : { $or: [first, ...others] }
}

/** The same for the branches of each `$or`. */
function withBranchesByPhase(filter: Filter): Filter {
  const { $and: all, $or: some } = filter as { $and?: Filter[]; $or?: Filter[] }
  if (all === undefined && some === undefined) return filter
  const branches = some
    ?.map(byPhase)
    .flatMap((one) => (Object.keys(one).join() === '$or' ? (one.$or as Filter[]) : [one]))
  return { ...filter, ...given({ $and: all?.map(byPhase), $or: branches }) }
}

/** The last date that every server can read. A comparison, since a server reads the whole index for `$exists`. */
export const LATEST = new Date('9999-12-31T23:59:59.999Z')

/**
 * A filter of ended tasks alone, along the index of the history. A server uses it only for a query that names the date of the end.
 * A task that was changed by hand to have ended without a date is left out.
 */
export function byEnd(filter: Filter): Filter {
  const hasOnlyEnded = statusesOf(filter)?.every(hasEnded) === true
  return hasOnlyEnded ? { $and: [filter, { finishedAt: { $lte: LATEST } }] } : filter
}

/** The statuses of which a task must have one; undefined if the filter names none. */
export function statusesOf({ status, $and: all = [] }: Filter): readonly TaskStatus[] | undefined {
  const { $eq: equal = status, $in: among = [equal] } = Object(status) as { $eq?: unknown; $in?: unknown[] }
  const own = status === undefined ? undefined : STATUSES.filter((one) => among.includes(one))
  const required = [own, ...(all as Filter[]).map(statusesOf)].filter((found) => found !== undefined)
  return required.length === 0 ? undefined : required.reduce((some, more) => some.filter((one) => more.includes(one)))
}
