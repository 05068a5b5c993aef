import { readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Fleet, KeyStore, SCOPES } from '@taskfleet/core'
import { FleetDatabase } from '@taskfleet/core/internal'
import { type RunningMongo, startMongo } from '@taskfleet/dev-mongo'
import { OwnFolder, writeOwnFile } from './own-folder.ts'

/** Where the demonstration keeps its things, and the database that it runs on. */
export interface Workplace {
  mongo: RunningMongo
  fleet: Fleet
  /** The address with the database's name. */
  uri: string
  /** Where the downloads go: one folder, as if on a disk that all hosts share. */
  downloads: OwnFolder
  /** What the processes sign tokens with; undefined where the database is the user's own and nothing is set. */
  secret: string | undefined
  /** A key for the monitor. */
  token: string
  close(): Promise<void>
}

export interface WorkplaceOptions {
  folder: string
  /** Whether what `start` did not make may be removed from the folder of the downloads. */
  clean: boolean
  print: (line: string) => void
}

/** @throws {FleetError} `FOLDER_NOT_OURS`, and what `startMongo` throws */
export async function openWorkplace({ folder, clean, print }: WorkplaceOptions): Promise<Workplace> {
  const home = resolve(folder)
  const downloads = new OwnFolder(join(home, 'downloads'), clean)
  await downloads.check()
  const mongo = await startMongo({ dataDir: join(home, 'db'), log: print })
  try {
    // The database lets only one start have this folder, so nobody downloads into it any more.
    await downloads.renew()
    const uri = withName(mongo.uri)
    if (mongo.source !== 'uri') await bringUpToDate(uri)
    const forgetUri = await keepUri(mongo, uri, join(home, 'mongo-uri'), print)
    const fleet = await Fleet.connect(uri)
    const token = await ownKey(new KeyStore(fleet.database.db), join(home, 'key'))
    return {
      mongo,
      fleet,
      uri,
      downloads,
      // What the user has set may be in use by other processes on this database.
      secret: process.env.TASKFLEET_SECRET || mongo.secret,
      token,
      close: async () => {
        await Promise.allSettled([fleet.close(), forgetUri()])
        await mongo.stop()
      },
    }
  } catch (error) {
    await mongo.stop()
    throw error
  }
}

/** An earlier version may have made the folder's database, and nobody else brings that to this version. */
async function bringUpToDate(uri: string): Promise<void> {
  const database = await FleetDatabase.connect({ uri })
  try {
    await database.migrate({ othersLive: false })
  } finally {
    await database.close()
  }
}

/** The address with `taskfleet` as the database, unless it names one. */
function withName(uri: string): string {
  const address = new URL(uri)
  if (address.pathname === '' || address.pathname === '/')
    address.pathname = `/${process.env.TASKFLEET_DB ?? 'taskfleet'}`
  return address.href
}

/**
 * Leaves the address of the database where other commands find it. One that came from the environment is there already, and
 * may hold a password.
 *
 * @returns how to take it away again, since the database ends with `start`
 */
async function keepUri(
  { source, secretFile }: RunningMongo,
  uri: string,
  file: string,
  print: (line: string) => void,
): Promise<() => Promise<void>> {
  if (source === 'uri') return async () => undefined
  await writeOwnFile(file, `${uri}\n`, (found) => found.startsWith('mongodb://127.0.0.1:'))
  print(`Commands:  export TASKFLEET_MONGO_URI='${uri}'`)
  print(`Workers:   also --secret-file '${secretFile}'`)
  return () => rm(file, { force: true })
}

/** The same key at every start, as long as the database knows it. */
async function ownKey(keys: KeyStore, file: string): Promise<string> {
  const kept = await readFile(file, 'utf8').catch(() => '')
  const known = await keys.verify(kept.trim()).then(
    () => true,
    () => false,
  )
  if (known) return kept.trim()
  const { token } = await keys.create({ name: 'start', scopes: SCOPES })
  await writeOwnFile(file, `${token}\n`, (found) => /^tf_[0-9a-f]+_\S+\s*$/.test(found))
  return token
}
