import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, inject } from 'vitest'
import { FleetDatabase } from '../database/fleet-database.ts'
import './global-setup.ts'

export interface TestDatabase {
  readonly database: FleetDatabase
  readonly uri: string
  /** The database's name, fresh for each test file. */
  readonly name: string
}

/** A fresh database on the run's server for a test file, dropped at its end. */
export function useDatabase(): TestDatabase {
  const name = `test_${randomUUID().slice(0, 8)}`
  let database: FleetDatabase | undefined
  beforeAll(async () => {
    database = await FleetDatabase.connect({ uri: inject('mongoUri'), name, timeoutMs: 10_000 })
    await database.ensureIndexes()
  })
  afterAll(async () => {
    await database?.db.dropDatabase()
    await database?.close()
  })
  return {
    name,
    get uri() {
      return inject('mongoUri')
    },
    get database() {
      if (database === undefined) throw new Error('the database is there from beforeAll on')
      return database
    },
  }
}
