import { COLLECTIONS, type CollectionName } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { TRANSITIONS } from '../task/lifecycle.ts'

/** The current document, or null if it is gone. `doc` may be newer than the event, so order by `rev`. */
export interface Change {
  collection: CollectionName
  id: unknown
  doc: mongo.Document | null
  /** Whether a task has taken or left a place in a limited queue. */
  slot?: boolean
}

export type FeedScope = 'work' | 'all'

/** The collection through which a feed sends writes to itself. */
export const CANARIES = 'canaries'

const ALL = [
  {
    $match: {
      $or: [
        { 'ns.coll': { $in: [...COLLECTIONS, CANARIES] } },
        { operationType: 'rename', 'to.coll': { $in: [...COLLECTIONS] } },
        { operationType: { $in: ['dropDatabase', 'invalidate'] } },
      ],
    },
  },
]
const WORK = [
  ...ALL,
  {
    $match: {
      $nor: [
        {
          'ns.coll': 'tasks',
          'updateDescription.updatedFields.status': { $in: [TRANSITIONS.claim.to, TRANSITIONS.complete.to] },
          // Workers that wait for a place in a limited queue must know when a place is taken or free.
          'updateDescription.updatedFields.slot': { $exists: false },
          'updateDescription.removedFields': { $ne: 'slot' },
        },
      ],
    },
  },
]
/** Fixed for each scope: a resume token is bound to its pipeline. */
export const PIPELINES: Record<FeedScope, mongo.Document[]> = { all: ALL, work: WORK }

/** What an event of the stream means to listeners. */
type News = { change: Change } | { canary: string } | 'COLLECTION_GONE' | undefined

export function newsOf(event: mongo.ChangeStreamDocument): News {
  switch (event.operationType) {
    case 'insert':
    case 'update':
    case 'replace': {
      const { _id: id } = event.documentKey
      if (event.ns.coll === CANARIES) return { canary: String(id) }
      const doc = event.fullDocument ?? null
      // If the document is missing, its delete event follows.
      if (doc === null || isRenewal(event)) return undefined
      const change = { collection: event.ns.coll as CollectionName, id, doc }
      return { change: movesSlot(event) ? { ...change, slot: true } : change }
    }
    case 'delete':
      if (event.ns.coll === CANARIES) return undefined
      return { change: { collection: event.ns.coll as CollectionName, id: event.documentKey._id, doc: null } }
    case 'drop':
    case 'rename':
      return event.ns.coll === CANARIES ? undefined : 'COLLECTION_GONE'
    case 'dropDatabase':
    case 'invalidate':
      return 'COLLECTION_GONE'
    default:
      return undefined
  }
}

function movesSlot(event: mongo.ChangeStreamDocument): boolean {
  if (event.operationType !== 'update') return false
  const { updatedFields, removedFields } = event.updateDescription
  return (updatedFields !== undefined && 'slot' in updatedFields) || (removedFields?.includes('slot') ?? false)
}

/** Whether this is a lease renewal of an earlier version: the most common write there, which no listener needs. */
function isRenewal(event: mongo.ChangeStreamDocument): boolean {
  if (event.operationType !== 'update') return false
  const { updatedFields, removedFields } = event.updateDescription
  const fields = Object.keys(updatedFields ?? {})
  return fields.length > 0 && fields.every((field) => field === 'lease.expiresAt') && (removedFields?.length ?? 0) === 0
}
