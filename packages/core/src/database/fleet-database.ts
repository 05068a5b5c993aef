import { FleetError } from '@taskfleet/protocol'
import mongoose, { type Connection, mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { Feed } from '../live/feed.ts'
import { databaseName, needsMajority, refuseWeakOptions } from './address.ts'
import { Availability } from './availability.ts'
import { CausalReads } from './causal-reads.ts'
import { dataClientOptions, streamClientOptions } from './client-options.ts'
import { firstContact } from './first-contact.ts'
import { type BlockedIndex, blockedText, makeIndexes } from './index-builds.ts'
import { INDEXES } from './indexes.ts'
import { majorityDb } from './majority-db.ts'
import { maskUri } from './mask-uri.ts'
import { type Migrated, migrate, requireSchema, schemaVersion } from './schema.ts'
import { ServerClock } from './server-clock.ts'
import { type Hello, refuseServer } from './server-support.ts'
import { forbidden } from './unknown-outcome.ts'

export interface DatabaseOptions {
  uri: string
  /** The database's name; `TASKFLEET_DB`, the one in the address, or `taskfleet` by default. */
  name?: string | undefined
  /** Bounds every wait for a server that is connected, in milliseconds; a primary is waited for as long as an election takes. */
  timeoutMs?: number
  /** The version of MongoDB's Stable API to keep to, such as `{ version: '1', strict: true }`. */
  serverApi?: mongo.ServerApi
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
  /** Whether the database is there at the moment, and the two lines that tell of an outage. */
  readonly availability: Availability
  /** Set where there is no server: everything is in this process. */
  readonly memory: { feed(): Feed } | undefined = undefined
  /** Reads that know at least what this process's change stream has shown. */
  readonly causal: CausalReads
  readonly #log: Logger | undefined
  /** Whether its connections are its own, to be closed with it. */
  readonly #own: boolean
  /** Why nothing can be written, where the database's user may only read. */
  #mayOnlyRead: FleetError | undefined

  private constructor(parts: {
    connection: Connection
    streams: mongo.MongoClient
    uri: string
    log: Logger | undefined
    own: boolean
  }) {
    this.connection = parts.connection
    this.streams = parts.streams
    this.uri = parts.uri
    this.clock = new ServerClock()
    this.#log = parts.log
    this.#own = parts.own
    const client = parts.connection.getClient()
    this.availability = new Availability(client, parts.log)
    this.causal = new CausalReads(client)
  }

  /**
   * Connects, and refuses what a fleet can't stand on.
   *
   * @throws {FleetError} `NO_DATABASE`, `NEEDS_REPLICA_SET`, `NEEDS_MAJORITY`, `UNSUPPORTED_SERVER`, `BAD_DATABASE_NAME`,
   * `DATABASE_FORBIDDEN`, `CLOCK_PROBE_FAILED`
   */
  static async connect(options: DatabaseOptions): Promise<FleetDatabase> {
    const { uri, timeoutMs = 5_000, log } = options
    const api = options.serverApi === undefined ? {} : { serverApi: options.serverApi }
    refuseWeakOptions(uri)
    const dbName = databaseName(uri, options.name)
    const connection = mongoose.createConnection()
    const streams = new mongo.MongoClient(uri, { ...streamClientOptions(timeoutMs), ...api })
    connection.on('error', (error: unknown) => log?.warn({ err: error }, 'database connection'))
    try {
      await firstContact(streams, timeoutMs)
      await connection.openUri(uri, { ...dataClientOptions(timeoutMs), ...api, dbName, autoIndex: false })
      const database = new FleetDatabase({ connection, streams, uri, log, own: true })
      await database.#probe()
      return database
    } catch (error) {
      await Promise.allSettled([connection.close(), streams.close()])
      throw refusedConnection(error, uri)
    }
  }

  /**
   * On a client that somebody else has connected, and closes: its sessions can be a fleet's as well.
   *
   * @param name the database's; of a connection its own by default, of a client `TASKFLEET_DB`, the one in its address, or `taskfleet`
   * @throws {FleetError} as `connect`; `FOREIGN_DRIVER` for a client of another copy of the driver than mongoose's
   */
  static async on(
    source: Connection | mongo.MongoClient,
    { name, log }: { name?: string | undefined; log?: Logger | undefined } = {},
  ): Promise<FleetDatabase> {
    const client = 'getClient' in source ? source.getClient() : source
    if (!(client instanceof mongo.MongoClient)) {
      throw new FleetError(
        'FOREIGN_DRIVER',
        'This is no MongoClient of the driver that mongoose brings: take mongoose.mongo.MongoClient',
      )
    }
    const hosts = client.options.hosts.map(String).join(',')
    if (client.options.retryWrites === false)
      throw needsMajority('retryWrites', 'The client says retryWrites=false; a fleet needs it')
    const own = 'getClient' in source ? source.name : client.options.dbName
    const uri = `mongodb://${hosts}/${own === 'test' && !('getClient' in source) ? '' : own}`
    const connection = mongoose.createConnection()
    connection.setClient(await client.connect())
    const database = new FleetDatabase({
      connection: connection.useDb(databaseName(uri, name)),
      streams: client,
      uri,
      log,
      own: false,
    })
    try {
      await database.#probe()
      return database
    } catch (error) {
      await database.close()
      throw refusedConnection(error, uri)
    }
  }

  /** The database with its connection for streams. */
  get streamsDb(): mongo.Db {
    return this.streams.db(this.connection.name)
  }

  get db(): mongo.Db {
    return majorityDb(this.connection)
  }

  /** Reads the server's time. */
  async readClock(): Promise<void> {
    const sentAt = performance.now()
    const hello = await this.db.admin().command({ hello: 1 })
    this.clock.observe(hello.localTime as Date, sentAt, performance.now())
  }

  /**
   * Sees to it that the database is as this program needs it: one that is empty or small is set up.
   *
   * @param writes whether the process has to write; a user who may only read is refused then
   * @throws {FleetError} `NEEDS_MIGRATION`, `NEWER_SCHEMA`, `INDEX_CONFLICT`, `DATABASE_FORBIDDEN`
   */
  async requireSchema({ writes = true }: { writes?: boolean } = {}): Promise<void> {
    if (this.#mayOnlyRead !== undefined) {
      if (writes) throw this.#mayOnlyRead
      if ((await schemaVersion(this.db)) === undefined) return
    }
    const blocked = await requireSchema(this.db, this.streamsDb)
    if (blocked.length === 0) return
    const code = 'INDEX_MISSING'
    this.#log?.error({ code, blocked: blockedText(blocked) }, 'documents keep indexes from being made')
  }

  /**
   * Makes what indexes are missing, as `migrate` does.
   *
   * @returns those that documents keep from being built
   * @throws {FleetError} `INDEX_CONFLICT`
   */
  ensureIndexes(): Promise<BlockedIndex[]> {
    return makeIndexes(this.streamsDb)
  }

  /** Brings the database to this program's schema. @throws {FleetError} `INDEX_CONFLICT`, `NEWER_SCHEMA` */
  migrate({ othersLive }: { othersLive: boolean }): Promise<Migrated> {
    return migrate(this.db, this.streamsDb, othersLive)
  }

  /** The indexes that a fleet can't do without. */
  expectedIndexes(): readonly { collection: string; name: string }[] {
    return INDEXES.map(({ collection, name }) => ({ collection, name }))
  }

  async close(): Promise<void> {
    this.availability.stop()
    if (this.#own) await Promise.all([this.connection.close(), this.streams.close()])
  }

  async #probe(): Promise<void> {
    const admin = this.db.admin()
    const hello = (await admin.command({ hello: 1 })) as Hello
    refuseServer(this.uri, hello)
    await this.readClock()
    await this.#probeWriteClock()
    const skew = Math.abs(this.clock.now().getTime() - Date.now())
    if (skew > 60_000) this.#log?.warn({ skewMs: skew }, "this host's clock is far from the database's; theirs counts")
  }

  /** Claims, leases and back-off rest on the server's time inside an update: see that it is there and moves. */
  async #probeWriteClock(): Promise<void> {
    const probes = this.db.collection<{ _id: string; now?: Date }>('canaries')
    const at = await probes
      .findOneAndUpdate({ _id: 'clock' }, [{ $set: { now: '$$NOW' } }], { upsert: true, returnDocument: 'after' })
      .catch((error: unknown) => {
        const { code, message } = error as { code?: unknown; message: string }
        if (code !== 13) throw error
        this.#mayOnlyRead = forbidden(message, error)
      })
    if (this.#mayOnlyRead !== undefined) return
    const off = Math.abs((at?.now?.getTime() ?? Number.NaN) - this.clock.now().getTime())
    if (!(off < 60_000)) {
      throw new FleetError(
        'CLOCK_PROBE_FAILED',
        `$$NOW of ${maskUri(this.uri)} is not the server's time: it said ${at?.now}`,
      )
    }
  }
}

/** What kept a connection from being made, in the fleet's words. */
function refusedConnection(error: unknown, uri: string): FleetError {
  if (error instanceof FleetError) return error
  const { code, codeName, message = String(error) } = error as { code?: unknown; codeName?: string; message?: string }
  if (code === 13) return forbidden(message, error)
  if (codeName === 'AuthenticationFailed' || codeName === 'AtlasError') {
    const remedy = 'Check the user, the password and authSource in the address'
    return new FleetError('DATABASE_FORBIDDEN', `${maskUri(uri)} refuses its user: ${message}. ${remedy}`, {
      cause: error,
    })
  }
  if (codeName === 'DatabaseDifferCase') {
    return new FleetError('BAD_DATABASE_NAME', `A database of that name with other capitals is there: ${message}`, {
      field: 'db',
      cause: error,
    })
  }
  return new FleetError('NO_DATABASE', `No MongoDB answers at ${maskUri(uri)}: ${message}`, { cause: error })
}
