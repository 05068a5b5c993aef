import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { OPEN_STATUSES } from '../task/lifecycle.ts'
import { asError } from '../thrown.ts'
import { type BlockedIndex, blockedText } from './index-builds.ts'

/** An index that a fleet can't do without. */
export interface ExpectedIndex {
  collection: string
  name: string
}

export interface IndexWatchOptions {
  db: mongo.Db
  /** What must be there. */
  expected: () => readonly ExpectedIndex[]
  /** Makes what is missing. */
  make: () => Promise<readonly BlockedIndex[]>
  log?: Logger | undefined
}

/** Two open tasks of one key, or more. */
interface DuplicateKey {
  key: string
  tasks: string[]
}

/** What a look has found. */
export interface IndexFindings {
  /** What was missing when it began. */
  missing: ExpectedIndex[]
  /** What could not be made again; empty where all is as it must be. */
  stillMissing: ExpectedIndex[]
  /** Why not, where keys are in the way. */
  duplicates: DuplicateKey[]
}

/** The index that keeps two open tasks of one key apart. */
const OPEN_KEY: ExpectedIndex = { collection: 'tasks', name: 'open_key_in_queue' }
/** How old a look may be for what is stored under a key. */
const TRUSTED_MS = 1_000
const MOST_NAMED = 10
const NO_COLLECTION = 26

/**
 * Sees that indexes are gone, says so and makes them again: somebody may have dropped one, or a whole collection, under a
 * running fleet. While the index of keys can't be made, nothing is stored under a key.
 */
export class IndexWatch {
  readonly #options: IndexWatchOptions
  #looking: Promise<IndexFindings> | undefined
  #lookedAt = Number.NEGATIVE_INFINITY
  #last: IndexFindings = { missing: [], stillMissing: [], duplicates: [] }

  constructor(options: IndexWatchOptions) {
    this.#options = options
  }

  /** Looks, and makes what is missing. Those who ask at the same time share a look. */
  look(): Promise<IndexFindings> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** Something may be gone: what was seen counts no longer. */
  doubt(): void {
    this.#lookedAt = Number.NEGATIVE_INFINITY
  }

  /**
   * Called before something is stored under a key.
   * @throws {FleetError} `KEYS_NOT_UNIQUE`
   */
  async requireUniqueKeys(): Promise<void> {
    if (performance.now() - this.#lookedAt > TRUSTED_MS) await this.look()
    if (!this.#last.stillMissing.some(isOpenKey)) return
    const { duplicates } = this.#last
    const named = duplicates.map(({ key, tasks }) => `'${key}' (${tasks.join(', ')})`).join('; ')
    const remedy =
      duplicates.length === 0
        ? "The index 'open_key_in_queue' is missing and could not be made again: the log says why"
        : `Several open tasks have the same key: ${named}. Cancel all but one of each; the index is made again within a minute`
    throw new FleetError('KEYS_NOT_UNIQUE', `Nothing can be stored under a key at the moment. ${remedy}`, {
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
        log?.warn({ code: 'INDEX_MISSING', indexes: names(missing) }, 'indexes were gone and are made again')
      } else {
        log?.error(
          { code: 'INDEX_MISSING', indexes: names(stillMissing), duplicates, ...made },
          'indexes are gone and could not be made again',
        )
      }
    }
    this.#last = { missing, stillMissing, duplicates }
    this.#lookedAt = startedAt
    return this.#last
  }

  /** What is not there at the moment. */
  async missing(): Promise<ExpectedIndex[]> {
    const expected = this.#options.expected()
    const collections = [...new Set(expected.map(({ collection }) => collection))]
    const there = new Map(
      await Promise.all(
        collections.map(async (collection) => [collection, await namesOf(this.#options.db, collection)] as const),
      ),
    )
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
    // A collection that is not there has none.
    if ((error as { code?: unknown }).code === NO_COLLECTION) return new Set()
    throw error
  }
}

/** The keys that several open tasks have; the first few of them. */
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
