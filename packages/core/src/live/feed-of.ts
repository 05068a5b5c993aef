import type { FleetDatabase } from '../database/fleet-database.ts'
import { ChangeFeed, type ChangeFeedOptions } from './change-feed.ts'
import type { Feed } from './feed.ts'

/** The feed of a database, not yet started. A database in memory has its own. */
export const feedOf = (database: FleetDatabase, options: ChangeFeedOptions = {}): Feed =>
  database.memory?.feed() ?? new ChangeFeed(database, options)
