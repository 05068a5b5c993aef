import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { OPEN_STATUSES } from '../task/lifecycle.ts'
import { asError } from '../thrown.ts'
import { type BlockedIndex, blockedText } from './index-builds.ts'

/** An index that a fleet needs. */
export interface ExpectedIndex {
  collection: string
  name: string
}

export interface IndexWatchOptions {
  db: mongo.Db
  /** The required indexes. */
  expected: () => readonly ExpectedIndex[]
  /** Builds missing indexes. */
  make: () => Promise<readonly BlockedIndex[]>
  log?: Logger | undefined
}

/** Several open tasks with the same key. */
interface DuplicateKey {
  key: string
  tasks: string[]
}

/** The result of a check. */
export interface IndexFindings {
  /** The indexes that were missing at first. */
  missing: ExpectedIndex[]
  /** The indexes that could not be built again; empty if all is well. */
  stillMissing: ExpectedIndex[]
  /** The reason, if keys are duplicates. */
  duplicates: DuplicateKey[]
}

/** The index that prevents two open tasks with the same key. */
const OPEN_KEY: ExpectedIndex = { collection: 'tasks', name: 'open_key_in_queue' }
/** How old a check may be when a task with a key is stored. */
const TRUSTED_MS = 1_000
const MOST_NAMED = 10
const NO_COLLECTION = 26

/**
 * Detects missing indexes, logs them and builds them again: an index or a whole collection may be dropped while the fleet runs.
 * While the index of keys can't be built, no task with a key is stored.
 */
export class IndexWatch {
  readonly #options: IndexWatchOptions
  #looking: Promise<IndexFindings> | undefined
  #lookedAt = Number.NEGATIVE_INFINITY
  #last: IndexFindings = { missing: [], stillMissing: [], duplicates: [] }

  constructor(options: IndexWatchOptions) {
    this.#options = options
  }

  /** Checks the indexes and builds missing ones. Calls at the same time share a check. */
  look(): Promise<IndexFindings> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** An index may be gone, so earlier results are no longer valid. */
  doubt(): void {
    this.#lookedAt = Number.NEGATIVE_INFINITY
  }

  /**
   * Called before a task with a key is stored.
   * @throws {FleetError} `KEYS_NOT_UNIQUE`
   */
  async requireUniqueKeys(): Promise<void> {
    if (performance.now() - this.#lookedAt > TRUSTED_MS) await this.look()
    if (!this.#last.stillMissing.some(isOpenKey)) return
    const { duplicates } = this.#last
    const named = duplicates.map(({ key, tasks }) => `'${key}' (${tasks.join(', ')})`).join('; ')
    const remedy =
      duplicates.length === 0
        ? "The index 'open_key_in_queue' is missing and could not be built again; the log has the reason"
        : `Several open tasks have the same key: ${named}. Cancel all but one of each; the index is built again within a minute`
    throw new FleetError('KEYS_NOT_UNIQUE', `Tasks with a key can't be stored at the moment. ${remedy}`, {
      field: 'key',
    })
  }

  async #look(): Promise<IndexFindings> {
    const startedAt = performance.now()
    const { log, make } = this.#options
    const missing = await this.missing()
    let stillMissing: ExpectedIndex[] = []
    let duplicates: DuplicateKey[] = []
    if (missing.length > 0) {
      const made = await make().then(
        (blocked) => ({ blocked: blockedText(blocked) }),
        (error: unknown) => ({ err: asError(error) }),
      )
      stillMissing = await this.missing()
      if (stillMissing.some(isOpenKey)) duplicates = await duplicateKeys(this.#options.db)
      const names = (indexes: readonly ExpectedIndex[]): string[] =>
        indexes.map((one) => `${one.collection}.${one.name}`)
      if (stillMissing.length === 0) {
        log?.warn({ code: 'INDEX_MISSING', indexes: names(missing) }, 'indexes were missing and have been built again')
      } else {
        log?.error(
          { code: 'INDEX_MISSING', indexes: names(stillMissing), duplicates, ...made },
          'indexes are missing and could not be built again',
        )
      }
    }
    this.#last = { missing, stillMissing, duplicates }
    this.#lookedAt = startedAt
    return this.#last
  }

  /** The indexes that are missing now. */
  async missing(): Promise<ExpectedIndex[]> {
    const expected = this.#options.expected()
    const collections = [...new Set(expected.map(({ collection }) => collection))]
    const there = new Map<string, Set<string>>()
    // One after the other: together they would open a connection each, which stays open.
    for (const collection of collections) there.set(collection, await namesOf(this.#options.db, collection))
    return expected.filter(({ collection, name }) => there.get(collection)?.has(name) !== true)
  }
}

const isOpenKey = ({ collection, name }: ExpectedIndex): boolean =>
  collection === OPEN_KEY.collection && name === OPEN_KEY.name

async function namesOf(db: mongo.Db, collection: string): Promise<Set<string>> {
  try {
    const indexes = await db.collection(collection).listIndexes().toArray()
    return new Set(indexes.map(({ name }) => String(name)))
  } catch (error) {
    // A missing collection has no indexes.
    if ((error as { code?: unknown }).code === NO_COLLECTION) return new Set()
    throw error
  }
}

/** The first few keys that several open tasks have. */
async function duplicateKeys(db: mongo.Db): Promise<DuplicateKey[]> {
  const groups = await db
    .collection('tasks')
    .aggregate<{ _id: unknown; tasks: unknown[] }>([
      { $match: { key: { $exists: true }, status: { $in: [...OPEN_STATUSES] } } },
      { $group: { _id: '$key', tasks: { $push: '$_id' }, count: { $sum: 1 } } },
      { $match: { count: { $gt: 1 } } },
      { $limit: MOST_NAMED },
    ])
    .toArray()
  return groups.map(({ _id, tasks }) => ({ key: String(_id), tasks: tasks.slice(0, MOST_NAMED).map(String) }))
}
