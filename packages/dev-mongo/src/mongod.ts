import { fetchMongod } from './fetch-mongod.ts'
import { findOnPath, isProgram } from './find-on-path.ts'
import type { Engine, FindEngine, Search } from './types.ts'

/** The `mongod` of this machine: `MONGOMS_SYSTEM_BINARY`, else the one on PATH. */
export const findMongod: FindEngine = async (search) => {
  const named = search.env.MONGOMS_SYSTEM_BINARY
  if (named && !isProgram(named)) throw new Error(`MONGOMS_SYSTEM_BINARY=${named} is not a program`)
  const file = named || findOnPath('mongod', search.env)
  if (!file) throw new Error('no mongod on PATH, and MONGOMS_SYSTEM_BINARY is not set')
  return mongod('mongod', file, search)
}

/** A `mongod` that mongodb-memory-server downloaded earlier, or downloads now. */
export const findMemoryServer: FindEngine = async (search) => {
  return mongod('memory-server', await fetchMongod(search), search)
}

function mongod(source: 'mongod' | 'memory-server', file: string, { options }: Search): Engine {
  const flags = options.enableTestCommands ? ['--setParameter', 'enableTestCommands=1'] : []
  return {
    source,
    standIn: false,
    label: `MongoDB (${file})`,
    folder: 'mongod',
    file,
    // `syncOnCommit` needs no flag: with the default of a set, w: majority, writes are in the journal when acknowledged.
    args: ({ port, folder }) => [
      ...['--bind_ip', '127.0.0.1', '--port', String(port), '--dbpath', folder],
      ...['--replSet', 'taskfleet', '--wiredTigerCacheSizeGB', '1', ...flags],
    ],
    ready: /waiting for connections/i,
  }
}
