import type { Connection, mongo } from 'mongoose'
import { driver } from './driver.ts'

/** What has a database: a mongoose connection, or a fleet's. */
export type DatabaseSource = Pick<Connection, 'name' | 'getClient'>

const MAJORITY_OPTIONS: mongo.DbOptions = {
  writeConcern: { w: 'majority' },
  readConcern: new driver.ReadConcern('majority'),
  readPreference: 'primary',
  retryWrites: true,
}

/** A fleet's database with majority options, which a fleet's guarantees need, even if the client has others. */
export const majorityDb = (source: DatabaseSource): mongo.Db => source.getClient().db(source.name, MAJORITY_OPTIONS)
