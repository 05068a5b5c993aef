import { randomUUID } from 'node:crypto'
import { FleetDatabase } from '@taskfleet/core/internal'
import { afterAll, beforeAll } from 'vitest'
import { mongoUri } from './mongo-uri.ts'

export interface TestDatabase {
  readonly database: FleetDatabase
  /** The server's address with the name of the file's own database in it. */
  readonly uri: string
}

/** A fresh database on the run's server for a test file, dropped at its end. */
export function useDatabase(): TestDatabase {
  const name = `test_${randomUUID().slice(0, 8)}`
  const uri = (): string => {
    const server = new URL(mongoUri())
    server.pathname = `/${name}`
    return server.href
  }
  let database: FleetDatabase | undefined
  beforeAll(async () => {
    database = await FleetDatabase.connect({ uri: uri(), timeoutMs: 10_000 })
    await database.requireSchema()
  })
  afterAll(async () => {
    await database?.db.dropDatabase()
    await database?.close()
  })
  return {
    get uri() {
      return uri()
    },
    get database() {
      if (database === undefined) throw new Error('the database is there from beforeAll on')
      return database
    },
  }
}
