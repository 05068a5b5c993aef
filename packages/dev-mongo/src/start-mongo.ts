import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { FleetError } from '@taskfleet/protocol'
import { maskSecrets } from '@taskfleet/protocol/internal'
import { checkUri } from './from-uri.ts'
import { findMemoryServer, findMongod } from './mongod.ts'
import { findSecantusPython, findSecantusRust } from './secantus.ts'
import { startServer } from './server.ts'
import type { Engine, FindEngine, RunningMongo, Search, SourceName, StartMongoOptions } from './types.ts'
import { sourceNames } from './types.ts'

const findEngine: Record<Exclude<SourceName, 'uri'>, FindEngine> = {
  mongod: findMongod,
  'secantusd-rs': findSecantusRust,
  'memory-server': findMemoryServer,
  secantusdb: findSecantusPython,
}

/** Errors that the user must resolve. Another source would hide them. */
const final = new Set(['DATABASE_IN_USE', 'PORT_IN_USE'])

/**
 * Finds a database and, unless it is the user's own, starts it on 127.0.0.1 as a replica set of one member. The order:
 * `TASKFLEET_MONGO_URI`, a `mongod` of this machine, `secantusd-rs`, a `mongod` that mongodb-memory-server downloads,
 * SecantusDB from PyPI. A server that was started ends with this process, even when this process is killed.
 *
 * @returns the running database; `stop()` it
 * @throws FleetError `NO_DATABASE` with what was tried and why each failed; `NEEDS_REPLICA_SET` or
 * `DATABASE_UNREACHABLE` for `TASKFLEET_MONGO_URI`; `DATABASE_IN_USE` for `dataDir`; `PORT_IN_USE` for `port`
 */
export async function startMongo(options: StartMongoOptions = {}): Promise<RunningMongo> {
  const search: Search = { env: options.env ?? process.env, log: options.log ?? (() => {}), options }
  const failures: string[] = []
  for (const source of options.prefer ? [options.prefer] : sourceNames) {
    try {
      return await startFrom(source, search, options)
    } catch (error) {
      if (source === 'uri' && search.env.TASKFLEET_MONGO_URI) throw error
      if (error instanceof FleetError && final.has(error.code)) throw error
      failures.push(`  ${source}: ${(error as Error).message}`)
    }
  }
  const remedy = 'Set TASKFLEET_MONGO_URI to a MongoDB replica set, or put mongod on PATH.'
  throw new FleetError('NO_DATABASE', `No database is available. ${remedy} Tried:\n${failures.join('\n')}`)
}

async function startFrom(source: SourceName, search: Search, options: StartMongoOptions): Promise<RunningMongo> {
  const { env, log } = search
  if (source === 'uri') {
    const uri = env.TASKFLEET_MONGO_URI
    if (!uri) throw new Error('TASKFLEET_MONGO_URI is not set')
    const running = await checkUri(uri)
    log(`Database: ${maskSecrets(uri)} · from TASKFLEET_MONGO_URI; unset it to use a local database`)
    return running
  }
  const engine = await findEngine[source](search)
  const running = await startServer(engine, { dataDir: options.dataDir, port: options.port, env }).catch((error) => {
    const failed = error instanceof FleetError && final.has(error.code)
    if (!failed && !options.prefer) log(`Database: ${engine.label} did not start; looking for another`)
    throw error
  })
  const address = running.uri.split('/?')[0]
  log(`Database: ${engine.label} on ${address} · set TASKFLEET_MONGO_URI to use your own MongoDB replica set`)
  for (const line of otherData(engine, options.dataDir)) log(line)
  return running
}

/** A line for each engine that holds tasks of earlier runs, which are not shown now. */
function otherData(engine: Engine, dataDir: string | undefined): string[] {
  if (!dataDir) return []
  const others = ['mongod', 'secantusd-rs', 'secantusdb'].filter((folder) => folder !== engine.folder)
  return others
    .map((folder) => join(dataDir, folder))
    .filter(existsSync)
    .map((folder) => `Database: tasks of earlier runs on another database stay in ${folder} and are not shown`)
}
