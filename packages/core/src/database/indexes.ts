import type { mongo } from 'mongoose'
import { taskIndexes } from '../task/task-model.ts'
import { workerIndexes } from '../worker/worker-model.ts'
import type { IndexSpec } from './index-specs.ts'

/** The index of documents that have their own expiry date. */
const retention = (collection: string): IndexSpec => ({
  collection,
  name: 'retention',
  key: { expireAt: 1 },
  expireAfterSeconds: 0,
})

/** Every index of a fleet's database. A change here needs a new `SCHEMA_VERSION`. */
export const INDEXES: readonly IndexSpec[] = [
  ...taskIndexes(),
  { collection: 'tasks', name: 'event', key: { event: 1 }, sparse: true },
  {
    collection: 'tasks',
    name: 'schedule',
    key: { schedule: 1, status: 1 },
    partialFilterExpression: { schedule: { $exists: true } },
  },
  ...workerIndexes(),
  { collection: 'taskLogs', name: 'lines', key: { task: 1, attempt: 1, from: 1 } },
  retention('taskLogs'),
  { collection: 'errors', name: 'latest', key: { state: 1, lastSeenAt: -1 } },
  retention('errors'),
  { collection: 'stats', name: 'by_time', key: { unit: 1, at: 1 } },
  retention('stats'),
  { collection: 'audit', name: 'latest', key: { at: -1, _id: -1 } },
  { collection: 'audit', name: 'by_task', key: { tasks: 1, at: -1 } },
  retention('audit'),
  { collection: 'callbacks', name: 'by_event', key: { event: 1 } },
  { collection: 'events', name: 'open', key: { status: 1, scheduledFor: 1, _id: 1 } },
  { collection: 'events', name: 'by_name', key: { name: 1, createdAt: -1 } },
  {
    collection: 'events',
    name: 'ended',
    key: { processedAt: -1, _id: -1 },
    partialFilterExpression: { processedAt: { $exists: true } },
  },
  retention('events'),
  retention('setAside'),
  { collection: 'schedules', name: 'next', key: { nextAt: 1 }, sparse: true },
  { collection: 'throttles', name: 'retention', key: { until: 1 }, expireAfterSeconds: 3_600 },
  retention('attentionNotices'),
  { collection: 'bulk', name: 'open', key: { state: 1, _id: 1 } },
  retention('bulk'),
  retention('bulkParts'),
  retention('versions'),
  { collection: 'canaries', name: 'retention', key: { at: 1 }, expireAfterSeconds: 3_600 },
]

/** Indexes of earlier versions that are no longer used. */
export const OBSOLETE_INDEXES: readonly Pick<IndexSpec, 'collection' | 'name'>[] = [
  { collection: 'events', name: 'by_status' },
  // Keys were unique in the whole fleet before schema 2.
  { collection: 'tasks', name: 'open_key' },
  // Before schema 3, the audit log had no order of entries with the same date.
  { collection: 'audit', name: 'newest' },
  // Before schema 3, each task had an entry in most indexes for its whole life.
  ...['claim_order', 'next_due', 'coverage', 'lease', 'running', 'finished', 'retention'].map((name) => ({
    collection: 'tasks',
    name,
  })),
]

export const indexLabel = ({ collection, name }: Pick<IndexSpec, 'collection' | 'name'>): string =>
  `${collection}.${name}`

interface PresentIndex {
  name: string
  key: Record<string, unknown>
  hidden?: boolean
}

/** The indexes of a collection; empty if the collection doesn't exist. */
export async function indexesOf(db: mongo.Db, collection: string): Promise<PresentIndex[]> {
  try {
    return (await db.collection(collection).indexes()) as PresentIndex[]
  } catch (error) {
    if ((error as { codeName?: string }).codeName === 'NamespaceNotFound') return []
    throw error
  }
}

/** The indexes that don't exist or are hidden from the query planner. */
export async function missingIndexes(
  db: mongo.Db,
  wanted: readonly IndexSpec[] = INDEXES,
): Promise<readonly IndexSpec[]> {
  const missing = await Promise.all(
    [...byCollection(wanted)].map(async ([collection, specs]) => {
      const present = await indexesOf(db, collection)
      return specs.filter(
        (spec) => !present.some((one) => one.name === spec.name && one.hidden !== true && sameKey(one.key, spec.key)),
      )
    }),
  )
  return missing.flat()
}

export function byCollection(specs: readonly IndexSpec[]): Map<string, IndexSpec[]> {
  const groups = new Map<string, IndexSpec[]>()
  for (const spec of specs) groups.set(spec.collection, [...(groups.get(spec.collection) ?? []), spec])
  return groups
}

/** Compares the fields and their order. Servers return directions as different number types. */
const sameKey = (one: Record<string, unknown>, other: Record<string, unknown>): boolean =>
  JSON.stringify(Object.entries(one).map(([field, way]) => [field, Number(way)])) ===
  JSON.stringify(Object.entries(other).map(([field, way]) => [field, Number(way)]))
