import type { mongo } from 'mongoose'
import { type Doc, fits } from '../documents/shape.ts'
import { HINT } from '../documents/shapes.ts'
import type { TaskDocument } from './task-document.ts'
import type { Affinity, Hint, Served } from './task-store.ts'

type Tasks = mongo.Collection<TaskDocument>

/** All of them are keys of the index `waiting`, so the first tasks in claim order are read without their documents. */
const HINT_FIELDS = {
  name: 1,
  version: 1,
  queue: 1,
  priority: 1,
  order: 1,
  runAt: 1,
  lazy: 1,
  lost: 1,
  updatedAt: 1,
} as const
/** The server's clock may be slightly ahead of ours. */
const AHEAD_MS = 5_000

/**
 * The tasks that wait for a worker: due tasks in claim order, and those that become due before `until`, at most `limit` of each.
 *
 * Every query is one walk along one index, which has its sort and ends at `limit`. Served handlers are filtered afterwards. Only if
 * a page has tasks that the worker doesn't serve, the query is repeated with that filter.
 *
 * @param many whether more than `limit` are likely to be due: then the walk by date is left out, which would read as many again
 */
export async function waitingTasks(
  tasks: Tasks,
  served: Served,
  { now, until, limit, many = false }: { now: Date; until: Date; limit: number; many?: boolean },
): Promise<{ due: Hint[]; next: Hint[]; misfits: unknown[] }> {
  const misfits = new Set<unknown>()
  const [near, ...lanes] = await Promise.all([atItsPlace(), ...served.queues.map((queue) => lane(queue))])
  const elsewhere = new Set(near.map(({ _id }) => _id.toHexString()))
  // What others may claim later is due earlier at its place.
  const next = lanes.flatMap(({ next }) => next).filter(({ _id }) => !elsewhere.has(_id.toHexString()))
  return {
    due: [...lanes.flatMap(({ due }) => due), ...near.filter(isDue)].sort(inClaimOrder).slice(0, limit),
    next: [...next, ...near.filter((hint) => !isDue(hint))].sort((a, b) => +a.runAt - +b.runAt).slice(0, limit),
    misfits: [...misfits],
  }

  /** The tasks whose checkpoints are at a place of this worker, which others may not claim yet. */
  async function atItsPlace(): Promise<Hint[]> {
    const { affinities = new Map<string, Affinity>() } = served
    if (affinities.size === 0) return []
    const longest = Math.max(...[...affinities.values()].map(({ ms }) => ms))
    const filter = {
      status: 'pending',
      queue: { $in: [...served.queues] },
      runAt: { $gt: now, $lte: new Date(until.getTime() + longest) },
      name: { $in: [...affinities.keys()] },
      'affinity.place': { $in: placesOf(served) },
    }
    const found = await page(filter as mongo.Filter<TaskDocument>, { runAt: 1 }, limit, { affinity: 1 })
    return found.filter(isServed).map((hint) => asSeenFrom(placesOf(served), hint))
  }

  async function lane(queue: string): Promise<{ due: Hint[]; next: Hint[] }> {
    if (!many) {
      const soon = await page({ status: 'pending', queue, runAt: { $lte: until } }, { runAt: 1 }, limit + 1)
      const mine = soon.filter(isServed)
      if (soon.length <= limit) return { due: mine.filter(isDue), next: mine.filter((hint) => !isDue(hint)) }
    }
    // There are more than `limit`: read the first in claim order, and the first by date.
    const order = { $lte: new Date(now.getTime() + AHEAD_MS) }
    const [due, next] = await Promise.all([
      servedPage({ status: 'pending', queue, order }, { priority: -1, order: 1, _id: 1 }, limit),
      servedPage({ status: 'pending', queue, runAt: { $gt: now, $lte: until } }, { runAt: 1 }, limit),
    ])
    return { due: due.filter(isDue), next }
  }

  async function servedPage(filter: mongo.Filter<TaskDocument>, sort: mongo.Sort, most: number): Promise<Hint[]> {
    const all = await page(filter, sort, most)
    const mine = all.filter(isServed)
    if (all.length < most || mine.length === all.length) return mine
    return (await page({ ...filter, ...askedFor(served) }, sort, most)).filter(isServed)
  }

  async function page(
    filter: mongo.Filter<TaskDocument>,
    sort: mongo.Sort,
    most: number,
    more: Record<string, 1> = {},
  ): Promise<Hint[]> {
    const found = await tasks
      .find(filter, { projection: { ...HINT_FIELDS, ...more } })
      .sort(sort)
      .limit(most)
      .toArray()
    return found.map(withoutNulls) as unknown as Hint[]
  }

  function isServed(hint: Hint): boolean {
    if (!fits(HINT, hint as unknown as Doc)) {
      misfits.add(hint._id)
      return false
    }
    const { name, version, lazy, lost } = hint
    const versions = served.tasks.get(name)
    const able = versions !== undefined && version >= versions.oldest && version <= versions.newest
    return able && !(lazy && served.lazy === false) && lost <= (served.maxLost ?? Number.POSITIVE_INFINITY)
  }

  function isDue({ runAt }: Hint): boolean {
    return runAt <= now
  }
}

/** In the keys of an index, a field that is not there is null. */
function withoutNulls(task: object): object {
  const entries = Object.entries(task)
  return entries.some(([, value]) => value === null)
    ? Object.fromEntries(entries.filter(([, value]) => value !== null))
    : task
}

function askedFor(served: Served): mongo.Filter<TaskDocument> {
  const versions = [...served.tasks].map(([name, { oldest, newest }]) => ({
    name,
    version: { $gte: oldest, $lte: newest },
  }))
  return {
    ...(versions.length === 0 ? { _id: { $in: [] } } : { $or: versions }),
    ...(served.lazy === false ? { lazy: false } : {}),
    ...lostAtMost(served.maxLost),
  }
}

/** `$not`, because tasks that no worker has died with, or of an old version, may lack the field. */
export function lostAtMost(max: number | undefined): mongo.Filter<TaskDocument> {
  return max === undefined ? {} : { lost: { $not: { $gt: max } } }
}

const placesOf = ({ affinities }: Served): string[] => [
  ...new Set([...(affinities?.values() ?? [])].map(({ place }) => place)),
]

/** A task as workers at these places may claim it: due from the time at which its place has the first go. */
export function asSeenFrom(places: readonly string[], hint: Hint): Hint {
  const { place, since } = hint.affinity ?? {}
  if (place === undefined || !places.includes(place) || !(since instanceof Date) || since > hint.runAt) return hint
  return { ...hint, runAt: since, order: since }
}

/** By priority from high to low, then by `order`, then by id. */
export function inClaimOrder(a: Hint, b: Hint): number {
  return (
    b.priority - a.priority ||
    a.order.getTime() - b.order.getTime() ||
    (a._id.toHexString() < b._id.toHexString() ? -1 : 1)
  )
}
