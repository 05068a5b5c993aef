import { type Connection, mongo } from 'mongoose'

const MAJORITY_OPTIONS: mongo.DbOptions = {
  writeConcern: { w: 'majority' },
  readConcern: new mongo.ReadConcern('majority'),
  readPreference: 'primary',
  retryWrites: true,
}

/** A fleet's database. What a fleet promises rests on majorities, whatever else the client is used for. */
export const majorityDb = (connection: Connection): mongo.Db =>
  connection.getClient().db(connection.name, MAJORITY_OPTIONS)
