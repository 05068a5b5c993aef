import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { asError } from '../thrown.ts'
import type { IndexSpec } from './index-specs.ts'
import { byCollection, INDEXES, indexLabel } from './indexes.ts'

/** An index that can't be built because of documents, for example two with the same key. */
export interface BlockedIndex {
  collection: string
  name: string
  /** The server's error about the documents. */
  reason: string
}

/** Errors: another index has the same name or key. */
const IN_THE_WAY = new Set<unknown>(['IndexOptionsConflict', 'IndexKeySpecsConflict'])
/** Errors: documents don't fit the index. DuplicateKey, CannotIndexParallelArrays. */
const BY_DOCUMENTS = new Set<unknown>([11_000, 171])

/**
 * Makes missing collections and indexes. An index that can't be built doesn't block the others.
 *
 * @returns the indexes that can't be built because of documents
 * @throws {FleetError} `INDEX_CONFLICT`
 */
export async function makeIndexes(db: mongo.Db): Promise<BlockedIndex[]> {
  const made = await Promise.allSettled(
    [...byCollection(INDEXES)].map(([collection, specs]) => makeIndexesOf(db, collection, specs)),
  )
  const failed = made.find((one) => one.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return made.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
}

async function makeIndexesOf(db: mongo.Db, collection: string, specs: readonly IndexSpec[]): Promise<BlockedIndex[]> {
  await db.createCollection(collection).catch((error: unknown) => {
    if ((error as { codeName?: string }).codeName !== 'NamespaceExists') throw error
  })
  try {
    await db.collection(collection).createIndexes(specs.map(({ collection: _, ...index }) => index))
    return []
  } catch (error) {
    if (!isOfOneIndex(error)) throw error
    // The server builds all indexes of a command or none.
    return makeOneByOne(db, specs)
  }
}

async function makeOneByOne(db: mongo.Db, specs: readonly IndexSpec[]): Promise<BlockedIndex[]> {
  const blocked: BlockedIndex[] = []
  const conflicts: Error[] = []
  for (const { collection, ...index } of specs) {
    try {
      await db.collection(collection).createIndexes([index])
    } catch (error) {
      const { code, codeName, message } = error as { code?: unknown; codeName?: string; message: string }
      if (BY_DOCUMENTS.has(code)) blocked.push({ collection, name: index.name, reason: message })
      else if (IN_THE_WAY.has(codeName)) conflicts.push(asError(error))
      else throw error
    }
  }
  if (conflicts.length === 0) return blocked
  const { message } = conflicts[0]!
  throw new FleetError('INDEX_CONFLICT', `Drop the conflicting index of ${specs[0]!.collection}: ${message}`, {
    cause: conflicts[0],
  })
}

const isOfOneIndex = (error: unknown): boolean => {
  const { code, codeName } = error as { code?: unknown; codeName?: string }
  return BY_DOCUMENTS.has(code) || IN_THE_WAY.has(codeName)
}

/** The blocked indexes with their reasons, one line each. */
export const blockedText = (blocked: readonly BlockedIndex[]): string[] =>
  blocked.map((one) => `${indexLabel(one)}: ${one.reason}`)
