import { type Connection, mongo } from 'mongoose'

const MAJORITY_OPTIONS: mongo.DbOptions = {
  writeConcern: { w: 'majority' },
  readConcern: new mongo.ReadConcern('majority'),
  readPreference: 'primary',
  retryWrites: true,
}

/** A fleet's database with majority options, which a fleet's guarantees need, even if the client has others. */
export const majorityDb = (connection: Connection): mongo.Db =>
  connection.getClient().db(connection.name, MAJORITY_OPTIONS)
