import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { type BlockedIndex, blockedText, makeIndexes } from './index-builds.ts'
import type { IndexSpec } from './index-specs.ts'
import { indexesOf, indexLabel, missingIndexes, OBSOLETE_INDEXES } from './indexes.ts'

/** The version of the collections and indexes that this program expects. */
export const SCHEMA_VERSION = 3
/** The oldest program that can run beside this one during an update of the fleet. */
const OLDEST_BESIDE = 1
/** The oldest program that may run after the obsolete indexes are dropped: an older one would build them again. */
const OLDEST_PROGRAM = 3
/** Indexes on more documents than this may take long to build, so only `migrate` builds them. */
const MOST_BUILT_AT_START = 50_000

interface SchemaDocument {
  _id: 'schema'
  version: number
  /** Programs with an older version than this must not use the database. */
  oldest: number
  at: Date
}

const schemas = (db: mongo.Db): mongo.Collection<SchemaDocument> => db.collection('settings')

/** The version of a database's schema; undefined if none is stored. */
export async function schemaVersion(db: mongo.Db): Promise<number | undefined> {
  return (await stored(db))?.version
}

const stored = (db: mongo.Db): Promise<SchemaDocument | null> => schemas(db).findOne({ _id: 'schema' })

/**
 * Compares the database's schema with the one that this program expects. If no version is stored, the database is not set up or
 * is from before versions. Then missing parts are made, unless that could take long.
 *
 * @param patiently runs commands on a database whose client waits as long as an index build takes
 * @param mostBuilt collections with more documents get their indexes only from `migrate`
 * @returns the indexes that can't be built because of documents; they don't keep a process from starting
 * @throws {FleetError} `NEEDS_MIGRATION`, `NEWER_SCHEMA`, `INDEX_CONFLICT`
 */
export async function requireSchema(
  db: mongo.Db,
  patiently: <T>(act: (builds: mongo.Db) => Promise<T>) => Promise<T>,
  mostBuilt = MOST_BUILT_AT_START,
): Promise<BlockedIndex[]> {
  if (await isSetUp(db)) return []
  const missing = await missingIndexes(db)
  const large = await largeOf(db, missing, mostBuilt)
  if (large.length > 0) {
    // Another process may have set it up since, and stored all these documents.
    if (await isSetUp(db)) return []
    throw needsMigration(
      `it lacks ${missing.map(indexLabel).join(', ')}, and ${large.join(' and ')} have many documents`,
    )
  }
  const blocked = missing.length === 0 ? [] : await patiently((builds) => makeMissing(builds, missing))
  await writeVersion(db, OLDEST_PROGRAM)
  return blocked
}

/** @throws {FleetError} if it was set up by an incompatible version */
async function isSetUp(db: mongo.Db): Promise<boolean> {
  const schema = await stored(db)
  if (schema !== null) refuseOther(schema)
  return schema !== null
}

/** The collections that lack an index and have so many documents that building it could take long. */
async function largeOf(db: mongo.Db, missing: readonly IndexSpec[], most: number): Promise<string[]> {
  const collections = [...new Set(missing.map(({ collection }) => collection))]
  // The server knows this count without counting. After a crash it may be slightly wrong, which doesn't matter here.
  const sizes = await Promise.all(collections.map((name) => db.collection(name).estimatedDocumentCount()))
  return collections.filter((_, index) => sizes[index]! > most)
}

async function makeMissing(builds: mongo.Db, missing: readonly IndexSpec[]): Promise<BlockedIndex[]> {
  if (missing.length === 0) return []
  for (const spec of missing) await unhide(builds, spec)
  return makeIndexes(builds)
}

function refuseOther({ version, oldest }: SchemaDocument): void {
  if (version < SCHEMA_VERSION) {
    throw needsMigration(`its schema has version ${version}, but this program needs ${SCHEMA_VERSION}`)
  }
  if (oldest <= SCHEMA_VERSION) return
  throw new FleetError(
    'NEWER_SCHEMA',
    `The database has schema version ${version}, but this program supports only ${SCHEMA_VERSION}. Use a newer version`,
  )
}

const needsMigration = (why: string): FleetError =>
  new FleetError(
    'NEEDS_MIGRATION',
    `The database is not ready for this version: ${why}. Run \`taskfleet migrate\` once`,
  )

async function writeVersion(db: mongo.Db, oldest: number): Promise<void> {
  const version = { version: SCHEMA_VERSION, oldest }
  await schemas(db).updateOne({ _id: 'schema' }, [{ $set: { ...version, at: '$$NOW' } }], { upsert: true })
}

/** The changes that `migrate` made, by `collection.index`. */
export interface Migrated {
  version: number
  made: string[]
  /** Indexes that can't be built because of documents, and why. The fleet works without them and builds them later. */
  blocked: string[]
  /** Hidden from the query planner, but kept for processes of another version. */
  hidden: string[]
  dropped: string[]
}

/**
 * Brings a database to this program's schema. New indexes are built first. Obsolete ones are hidden, and dropped only when no
 * process of another version needs them. So old and new workers can run side by side. May be interrupted and repeated.
 *
 * @param othersLive whether processes of another version are alive
 * @throws {FleetError} `INDEX_CONFLICT`, `NEWER_SCHEMA`
 */
export async function migrate(db: mongo.Db, builds: mongo.Db, othersLive: boolean): Promise<Migrated> {
  const schema = await stored(db)
  if (schema !== null && schema.version > SCHEMA_VERSION) refuseOther(schema)
  const missing = await missingIndexes(db)
  const blocked = await makeMissing(builds, missing)
  const obsolete = await presentObsolete(db)
  for (const one of obsolete) await setHidden(builds, one, true)
  if (schema?.version === 1) await moveThrottles(db)
  if (schema === null || schema.version <= SCHEMA_VERSION) {
    await writeVersion(db, othersLive ? OLDEST_BESIDE : OLDEST_PROGRAM)
  }
  if (!othersLive) for (const { collection, name } of obsolete) await builds.collection(collection).dropIndex(name)
  const labels = obsolete.map(indexLabel)
  return {
    version: SCHEMA_VERSION,
    made: missing.map(indexLabel).filter((label) => !blocked.some((one) => indexLabel(one) === label)),
    blocked: blockedText(blocked),
    hidden: othersLive ? labels : [],
    dropped: othersLive ? [] : labels,
  }
}

/** Throttles of schema 1 have a name and a key; later ones also have a queue. Repeating this does no harm. */
async function moveThrottles(db: mongo.Db): Promise<void> {
  const throttles = db.collection<{ _id: string; task: mongo.ObjectId; until: Date }>('throttles')
  for await (const { _id, task, until } of throttles.find({ until: { $gt: new Date() } })) {
    const held = await db.collection('tasks').findOne({ _id: task }, { projection: { queue: 1, name: 1 } })
    if (held === null || _id.startsWith(`${held.queue}\n${held.name}\n`)) continue
    await throttles.updateOne({ _id: `${held.queue}\n${_id}` }, { $setOnInsert: { task, until } }, { upsert: true })
  }
}

async function presentObsolete(db: mongo.Db): Promise<typeof OBSOLETE_INDEXES> {
  const present = await Promise.all(
    OBSOLETE_INDEXES.map(async (one) => (await indexesOf(db, one.collection)).some(({ name }) => name === one.name)),
  )
  return OBSOLETE_INDEXES.filter((_, index) => present[index])
}

/** A hidden index exists, so building it would change nothing; it must be unhidden. */
async function unhide(db: mongo.Db, spec: IndexSpec): Promise<void> {
  const there = (await indexesOf(db, spec.collection)).find(({ name }) => name === spec.name)
  if (there?.hidden === true) await setHidden(db, spec, false)
}

async function setHidden(
  db: mongo.Db,
  { collection, name }: Pick<IndexSpec, 'collection' | 'name'>,
  hidden: boolean,
): Promise<void> {
  await db.command({ collMod: collection, index: { name, hidden } }).catch((error: unknown) => {
    // Some MongoDB-compatible servers don't support hidden indexes.
    const { codeName } = error as { codeName?: string }
    if (codeName !== 'InvalidOptions' && codeName !== 'CommandNotFound' && codeName !== 'NotImplemented') throw error
  })
}
