import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Fleet, FleetDatabase, KeyStore, SCOPES } from '@taskfleet/core'
import { type RunningMongo, startMongo } from '@taskfleet/core/mongo'

/** Where the demonstration keeps its things, and the database that it runs on. */
export interface Workplace {
  mongo: RunningMongo
  fleet: Fleet
  /** The address with the database's name. */
  uri: string
  /** Where the downloads go: one folder, as if on a disk that all hosts share. */
  downloads: string
  /** A key for the monitor. */
  token: string
  close(): Promise<void>
}

export async function openWorkplace(folder: string, print: (line: string) => void): Promise<Workplace> {
  const home = resolve(folder)
  const downloads = join(home, 'downloads')
  // The last run's files are of no use and may be large.
  await rm(downloads, { recursive: true, force: true })
  await mkdir(downloads, { recursive: true })
  const mongo = await startMongo({ dataDir: join(home, 'db'), log: print })
  try {
    const uri = withName(mongo.uri)
    if (mongo.source !== 'uri') await bringUpToDate(uri)
    const fleet = await Fleet.connect(uri)
    const token = await ownKey(new KeyStore(fleet.database.db), join(home, 'key'))
    return {
      mongo,
      fleet,
      uri,
      downloads,
      token,
      close: async () => {
        await fleet.close()
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

/** The same key at every start, as long as the database knows it. */
async function ownKey(keys: KeyStore, file: string): Promise<string> {
  const kept = await readFile(file, 'utf8').catch(() => '')
  const known = await keys.verify(kept.trim()).then(
    () => true,
    () => false,
  )
  if (known) return kept.trim()
  const { token } = await keys.create({ name: 'start', scopes: SCOPES })
  await writeFile(file, `${token}\n`, { mode: 0o600 })
  return token
}
