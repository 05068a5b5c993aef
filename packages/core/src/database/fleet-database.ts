import mongoose, { type Connection, mongo } from 'mongoose'
import type { Logger } from 'pino'
import { FleetError } from '../errors.ts'
import { taskModel } from '../task/task-model.ts'
import { workerModel } from '../worker/worker-model.ts'
import { dataClientOptions, MAJORITY, streamClientOptions } from './client-options.ts'
import type { ExpectedIndex } from './index-watch.ts'
import { maskUri } from './mask-uri.ts'
import { ServerClock } from './server-clock.ts'

export interface DatabaseOptions {
  uri: string
  /** The database's name; the URI's own, `TASKFLEET_DB` or `taskfleet` by default. */
  name?: string
  /** Bounds every wait on the server, in milliseconds; a quarter of the lease and 5 s at most. */
  timeoutMs?: number
  log?: Logger
}

/**
 * The connections of one process: one for data, whose waits are bounded, and one for change streams, which wait for
 * ever by design.
 */
export class FleetDatabase {
  readonly connection: Connection
  readonly streams: mongo.MongoClient
  readonly clock: ServerClock
  readonly uri: string
  readonly #log: Logger | undefined

  private constructor(parts: {
    connection: Connection
    streams: mongo.MongoClient
    uri: string
    log: Logger | undefined
  }) {
    this.connection = parts.connection
    this.streams = parts.streams
    this.uri = parts.uri
    this.clock = new ServerClock()
    this.#log = parts.log
  }

  /**
   * Connects, and refuses what a fleet can't stand on.
   *
   * @throws {FleetError} `NO_DATABASE`, `NEEDS_REPLICA_SET`, `NEEDS_MAJORITY`, `CLOCK_PROBE_FAILED`
   */
  static async connect(options: DatabaseOptions): Promise<FleetDatabase> {
    const { uri, timeoutMs = 5_000, log } = options
    refuseWeakOptions(uri)
    const name = options.name ?? databaseName(uri)
    const connection = mongoose.createConnection()
    const streams = new mongo.MongoClient(uri, streamClientOptions(timeoutMs))
    connection.on('error', (error: unknown) => log?.warn({ err: error }, 'database connection'))
    try {
      await connection.openUri(uri, { ...dataClientOptions(timeoutMs), dbName: name, autoIndex: false })
      await streams.connect()
      const database = new FleetDatabase({ connection, streams, uri, log })
      await database.#probe()
      return database
    } catch (error) {
      await Promise.allSettled([connection.close(), streams.close()])
      if (error instanceof FleetError) throw error
      const why = error instanceof Error ? error.message : String(error)
      throw new FleetError('NO_DATABASE', `No MongoDB answers at ${maskUri(uri)}: ${why}`, { cause: error })
    }
  }

  /** The database with its connection for streams. */
  get streamsDb(): mongo.Db {
    return this.streams.db(this.connection.name)
  }

  get db(): mongo.Db {
    return this.connection.getClient().db(this.connection.name)
  }

  /** Reads the server's time. */
  async readClock(): Promise<void> {
    const sentAt = performance.now()
    const hello = await this.db.admin().command({ hello: 1 })
    this.clock.observe(hello.localTime as Date, sentAt, performance.now())
  }

  /** Makes what indexes are missing. @throws {FleetError} `INDEX_CONFLICT` */
  async ensureIndexes(): Promise<void> {
    for (const model of this.#models) {
      await model.createCollection().catch((error: unknown) => {
        if ((error as { codeName?: string }).codeName !== 'NamespaceExists') throw error
      })
      await model.createIndexes().catch((error: unknown) => {
        const { code, codeName, message } = error as { code?: number; codeName?: string; message?: string }
        // Documents are in the way: that is found and told of by whoever watches indexes, and must not keep a process from starting.
        if (code === 11_000) return
        if (codeName !== 'IndexOptionsConflict' && codeName !== 'IndexKeySpecsConflict') throw error
        throw new FleetError(
          'INDEX_CONFLICT',
          `Drop the index of ${model.collection.name} that is in the way: ${message}`,
          {
            cause: error,
          },
        )
      })
    }
    await this.db.collection('throttles').createIndex({ until: 1 }, { name: 'retention', expireAfterSeconds: 3_600 })
    await this.db.collection('canaries').createIndex({ at: 1 }, { name: 'retention', expireAfterSeconds: 3_600 })
  }

  get #models(): (ReturnType<typeof taskModel> | ReturnType<typeof workerModel>)[] {
    return [taskModel(this.connection), workerModel(this.connection)]
  }

  /** The indexes that a fleet can't do without. */
  expectedIndexes(): ExpectedIndex[] {
    return this.#models.flatMap((model) =>
      model.schema.indexes().map(([, options]) => ({
        collection: model.collection.name,
        name: String((options as { name?: unknown }).name),
      })),
    )
  }

  async close(): Promise<void> {
    await Promise.all([this.connection.close(), this.streams.close()])
  }

  async #probe(): Promise<void> {
    const hello = await this.db.admin().command({ hello: 1 })
    if (hello.setName === undefined && hello.msg !== 'isdbgrid') {
      throw new FleetError(
        'NEEDS_REPLICA_SET',
        `${maskUri(this.uri)} is a standalone mongod, which has no change streams: start it with --replSet rs0 and run rs.initiate() once`,
      )
    }
    await this.readClock()
    await this.#probeWriteClock()
    const skew = Math.abs(this.clock.now().getTime() - Date.now())
    if (skew > 60_000) this.#log?.warn({ skewMs: skew }, "this host's clock is far from the database's; theirs counts")
  }

  /** Claims, leases and back-off rest on the server's time inside an update: see that it is there and moves. */
  async #probeWriteClock(): Promise<void> {
    const probes = this.db.collection<{ _id: string; now?: Date }>('canaries')
    const at = await probes.findOneAndUpdate({ _id: 'clock' }, [{ $set: { now: '$$NOW' } }], {
      upsert: true,
      returnDocument: 'after',
    })
    const off = Math.abs((at?.now?.getTime() ?? Number.NaN) - this.clock.now().getTime())
    if (!(off < 60_000)) {
      throw new FleetError(
        'CLOCK_PROBE_FAILED',
        `$$NOW of ${maskUri(this.uri)} is not the server's time: it said ${at?.now}`,
      )
    }
  }
}

function databaseName(uri: string): string {
  const path = /^mongodb(?:\+srv)?:\/\/[^/]+\/([^?]*)/.exec(uri)?.[1]
  return path || process.env.TASKFLEET_DB || 'taskfleet'
}

function refuseWeakOptions(uri: string): void {
  const options = new URLSearchParams(uri.split('?')[1] ?? '')
  const asked = (name: string): string | undefined =>
    [...options].find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1]
  for (const [name, value] of Object.entries(MAJORITY)) {
    const given = asked(name)
    if (given !== undefined && given !== String(value)) {
      throw new FleetError(
        'NEEDS_MAJORITY',
        `The database's address says ${name}=${given}; a fleet needs ${name}=${value}`,
        {
          field: name,
        },
      )
    }
  }
}
