import { MemoryDatabase } from '../memory/memory-database.ts'
import { MongoTaskStore } from './mongo-task-store.ts'

/**
 * `TaskStore` in memory, for tests without a server. It runs the same guards and update pipelines as `MongoTaskStore` in this
 * process.
 */
export class MemoryTaskStore extends MongoTaskStore {
  /** Holds the tasks and the sessions of the workers. */
  readonly database: MemoryDatabase

  constructor(database = new MemoryDatabase()) {
    super(database.connection, database.clock)
    this.database = database
  }
}
