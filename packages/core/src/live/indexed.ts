import { type CollectionName, FleetError, hasEnded, type QuerySort } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { planOf } from '../database/query-plan.ts'
import { dependsOnKept } from '../history/kept-counts.ts'
import { statusesOf } from './by-phase.ts'

type Filter = Record<string, unknown>

/** The collections that hold a history, and how a query of it gets an index. The others stay small enough to be read as a whole. */
const REMEDIES: Partial<Record<CollectionName, string>> = {
  tasks:
    "Sort by '_id', the order in which tasks were made. Or filter by an open status (pending, running, paused, blocked), by 'finishedAt', by a label, or by ids; and sort ended tasks by 'finishedAt'",
  events:
    "Sort by '_id', the order in which events were posted. Or filter by 'name' or by ids; and sort ended events by 'processedAt'",
}

/** A smaller collection is read as a whole in well under a second. */
const FEW_DOCUMENTS = 100_000

/**
 * Refuses a query that would make the server read and sort a whole history. A query that walks an index to its limit is allowed, since the
 * time limit of queries bounds it, however few of the documents match.
 *
 * @throws {FleetError} `QUERY_NOT_INDEXED`
 */
export async function requireIndexed(
  documents: Pick<mongo.Collection, 'estimatedDocumentCount'>,
  { collection, dbFilter, sort }: { collection: CollectionName; dbFilter: Filter; sort: QuerySort },
): Promise<void> {
  const remedy = REMEDIES[collection]
  if (remedy === undefined || planOf(collection, dbFilter, sort) !== undefined) return
  const count = await documents.estimatedDocumentCount()
  if (count <= FEW_DOCUMENTS) return
  const by = Object.keys(sort).filter((field) => field !== '_id' || Object.keys(sort).length === 1)
  throw new FleetError(
    'QUERY_NOT_INDEXED',
    `No index has the matching ${collection} in the order of '${by.join("', '")}', so all ${count} would be read. ${remedy}`,
    { field: 'sort' },
  )
}

/**
 * Refuses statistics that would count a whole history again and again. The counts by status, queue and name are kept.
 *
 * @throws {FleetError} `QUERY_NOT_INDEXED`
 */
export async function requireCountable(
  tasks: Pick<mongo.Collection, 'estimatedDocumentCount'>,
  filter: Filter,
): Promise<void> {
  const isOpen = statusesOf(filter)?.some(hasEnded) === false
  if (isOpen || dependsOnKept(filter) || planOf('tasks', filter) !== undefined) return
  const count = await tasks.estimatedDocumentCount()
  if (count <= FEW_DOCUMENTS) return
  throw new FleetError(
    'QUERY_NOT_INDEXED',
    `No index counts the tasks of this filter, so all ${count} would be read. Filter by 'status', 'queue' and 'name' alone, or also by an open status (pending, running, paused, blocked), by 'finishedAt', by a label, or by ids`,
    { field: 'filter' },
  )
}
