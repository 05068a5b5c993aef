import { COLLECTIONS, type CollectionName } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { TRANSITIONS } from '../task/lifecycle.ts'
import { TASK_CONTENT } from './fields.ts'

/** The current document, or null if it is gone. `doc` may be newer than the event, so order by `rev`. */
export interface Change {
  collection: CollectionName
  id: unknown
  doc: mongo.Document | null
  /** Whether a task has taken or left a place in a limited queue. */
  slot?: boolean
}

/** From the narrowest to the widest; `FeedScope` says what each reports. */
const FEED_SCOPES = ['work', 'all', 'whole'] as const
/**
 * Which changes a feed reports. `work`: what workers need, which is neither a task's claim and completion nor its progress and
 * checkpoints. `all`: every change, with tasks without their content. `whole`: the content too.
 */
export type FeedScope = (typeof FEED_SCOPES)[number]

export const widest = (...scopes: readonly FeedScope[]): FeedScope =>
  FEED_SCOPES.findLast((scope) => scopes.includes(scope))!

export const includesScope = (wide: FeedScope, narrow: FeedScope): boolean => widest(wide, narrow) === wide

/** The collection through which a feed sends writes to itself. */
export const CANARIES = 'canaries'

const EVERY_CHANGE = [
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
/** The changed fields that an attempt reports while it runs. A server writes those of nested fields as `progress.done`. */
const REPORTED_FIELDS = {
  $filter: {
    input: { $objectToArray: { $ifNull: ['$updateDescription.updatedFields', {}] } },
    as: 'field',
    cond: { $in: [{ $arrayElemAt: [{ $split: ['$$field.k', '.'] }, 0] }, ['progress', 'checkpoint']] },
  },
}
/** Workers need to know of none of these. */
const NO_WORK = [
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
        {
          'ns.coll': 'tasks',
          'updateDescription.updatedFields.status': { $exists: false },
          $expr: { $gt: [{ $size: REPORTED_FIELDS }, 0] },
        },
      ],
    },
  },
]
/** Any of them may have hundreds of kilobytes, and few listeners look into one. */
const WITHOUT_CONTENT = [
  {
    $unset: ['fullDocument', 'updateDescription.updatedFields'].flatMap((part) =>
      TASK_CONTENT.map((field) => `${part}.${field}`),
    ),
  },
]

export const PIPELINES: Record<FeedScope, mongo.Document[]> = {
  work: [...EVERY_CHANGE, ...NO_WORK, ...WITHOUT_CONTENT],
  all: [...EVERY_CHANGE, ...WITHOUT_CONTENT],
  whole: EVERY_CHANGE,
}

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
