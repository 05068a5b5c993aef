import type { mongo } from 'mongoose'
import { FleetError } from '../errors.ts'
import type { IndexSpec } from './index-specs.ts'
import { byCollection, INDEXES, indexesOf, indexLabel, missingIndexes, OBSOLETE_INDEXES } from './indexes.ts'

/** Which collections and indexes this program expects. */
export const SCHEMA_VERSION = 1
/** The oldest program that still works on a database of this version. */
const OLDEST_PROGRAM = 1

interface SchemaDocument {
  _id: 'schema'
  version: number
  /** Programs of an older version than this must not use the database. */
  oldest: number
  at: Date
}

const schemas = (db: mongo.Db): mongo.Collection<SchemaDocument> => db.collection('settings')

/** The version of a database's schema; undefined where none is stored. */
export async function schemaVersion(db: mongo.Db): Promise<number | undefined> {
  return (await stored(db))?.version
}

const stored = (db: mongo.Db): Promise<SchemaDocument | null> => schemas(db).findOne({ _id: 'schema' })

/**
 * Compares the database's schema with what this program expects. An empty database is set up by whoever comes first; one of
 * the time before versions is taken over if it has every index. Indexes are built by nothing else but `migrate`.
 *
 * @param builds a database whose client waits as long as an index takes
 * @throws {FleetError} `NEEDS_MIGRATION`, `NEWER_SCHEMA`, `INDEX_CONFLICT`
 */
export async function requireSchema(db: mongo.Db, builds: mongo.Db): Promise<void> {
  const schema = await stored(db)
  if (schema !== null) return refuseOther(schema)
  if (await isEmpty(db)) {
    await makeIndexes(builds)
    return writeVersion(db)
  }
  // Somebody may have set it up since, and have stored its first tasks.
  const since = await stored(db)
  if (since !== null) return refuseOther(since)
  const missing = await missingIndexes(db)
  if (missing.length > 0) throw needsMigration(`it has no ${missing.map(indexLabel).join(', ')}`)
  await writeVersion(db)
}

/** No task needs an index yet, so that making them takes no time. */
const isEmpty = async (db: mongo.Db): Promise<boolean> =>
  (await db.collection('tasks').findOne({}, { projection: { _id: 1 } })) === null

function refuseOther({ version, oldest }: SchemaDocument): void {
  if (version < SCHEMA_VERSION) {
    throw needsMigration(`its schema has version ${version}, and this program needs ${SCHEMA_VERSION}`)
  }
  if (oldest <= SCHEMA_VERSION) return
  throw new FleetError(
    'NEWER_SCHEMA',
    `The database has schema ${version}, which this program does not know: it knows ${SCHEMA_VERSION}. Use a newer version`,
  )
}

const needsMigration = (why: string): FleetError =>
  new FleetError(
    'NEEDS_MIGRATION',
    `The database is not ready for this version: ${why}. Run \`taskfleet migrate\` once`,
  )

async function writeVersion(db: mongo.Db): Promise<void> {
  const version = { version: SCHEMA_VERSION, oldest: OLDEST_PROGRAM }
  await schemas(db).updateOne({ _id: 'schema' }, [{ $set: { ...version, at: '$$NOW' } }], { upsert: true })
}

/** Makes what collections and indexes are missing. @throws {FleetError} `INDEX_CONFLICT` */
export async function makeIndexes(db: mongo.Db): Promise<void> {
  await Promise.all([...byCollection(INDEXES)].map(([collection, specs]) => makeIndexesOf(db, collection, specs)))
}

async function makeIndexesOf(db: mongo.Db, collection: string, specs: readonly IndexSpec[]): Promise<void> {
  await db.createCollection(collection).catch((error: unknown) => {
    if ((error as { codeName?: string }).codeName !== 'NamespaceExists') throw error
  })
  const make = (wanted: readonly IndexSpec[]): Promise<unknown> =>
    db.collection(collection).createIndexes(wanted.map(({ collection: _, ...index }) => index))
  await make(specs)
    .catch(async (error: unknown) => {
      if (!isDuplicate(error)) throw error
      // One that documents stand in the way of must not keep the others from being made. `IndexWatch` and `doctor` report it.
      for (const spec of specs) {
        await make([spec]).catch((one: unknown) => {
          if (!isDuplicate(one)) throw one
        })
      }
    })
    .catch((error: unknown) => {
      const { codeName, message } = error as { codeName?: string; message?: string }
      if (codeName !== 'IndexOptionsConflict' && codeName !== 'IndexKeySpecsConflict') throw error
      throw new FleetError('INDEX_CONFLICT', `Drop the index of ${collection} that is in the way: ${message}`, {
        cause: error,
      })
    })
}

const isDuplicate = (error: unknown): boolean => (error as { code?: number }).code === 11_000

/** What `migrate` did, by `collection.index`. */
export interface Migrated {
  version: number
  made: string[]
  /** Hidden from the planner, and still there for processes of another version. */
  hidden: string[]
  dropped: string[]
}

/**
 * Brings a database to this program's schema. What is new is built first; what is obsolete is hidden, and dropped only when no
 * process of another version needs it any more. So old and new workers run side by side. May be broken off and repeated.
 *
 * @param othersLive whether processes of another version are alive
 * @throws {FleetError} `INDEX_CONFLICT`, `NEWER_SCHEMA`
 */
export async function migrate(db: mongo.Db, builds: mongo.Db, othersLive: boolean): Promise<Migrated> {
  const schema = await stored(db)
  if (schema !== null && schema.version > SCHEMA_VERSION) refuseOther(schema)
  const missing = await missingIndexes(db)
  for (const spec of missing) await unhide(builds, spec)
  await makeIndexes(builds)
  const left = await missingIndexes(db)
  if (left.length > 0) {
    const names = left.map(indexLabel).join(', ')
    throw new FleetError(
      'INDEX_CONFLICT',
      `Documents keep these indexes from being made: ${names}. \`taskfleet doctor\` names them`,
    )
  }
  const obsolete = await presentObsolete(db)
  for (const one of obsolete) await setHidden(builds, one, true)
  if (schema === null || schema.version <= SCHEMA_VERSION) await writeVersion(db)
  if (!othersLive) for (const { collection, name } of obsolete) await builds.collection(collection).dropIndex(name)
  const labels = obsolete.map(indexLabel)
  return {
    version: SCHEMA_VERSION,
    made: missing.map(indexLabel),
    hidden: othersLive ? labels : [],
    dropped: othersLive ? [] : labels,
  }
}

async function presentObsolete(db: mongo.Db): Promise<typeof OBSOLETE_INDEXES> {
  const present = await Promise.all(
    OBSOLETE_INDEXES.map(async (one) => (await indexesOf(db, one.collection)).some(({ name }) => name === one.name)),
  )
  return OBSOLETE_INDEXES.filter((_, index) => present[index])
}

/** One that somebody has hidden is there; building it would change nothing. */
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
    // A stand-in has no planner to hide it from.
    const { codeName } = error as { codeName?: string }
    if (codeName !== 'InvalidOptions' && codeName !== 'CommandNotFound' && codeName !== 'NotImplemented') throw error
  })
}
