import { MemoryDatabase } from '../memory/memory-database.ts'
import { MongoTaskStore } from './mongo-task-store.ts'

/**
 * `TaskStore` in memory: the same guards and update pipelines as `MongoTaskStore`, carried out by this process. For tests that need no
 * server.
 */
export class MemoryTaskStore extends MongoTaskStore {
  /** Where the tasks are, and the sessions of those who claim them. */
  readonly database: MemoryDatabase

  constructor(database = new MemoryDatabase()) {
    super(database.connection, database.clock)
    this.database = database
  }
}
