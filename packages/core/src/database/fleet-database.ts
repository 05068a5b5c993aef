import { setTimeout as sleep } from 'node:timers/promises'
import { FleetError } from '@taskfleet/protocol'
import type { Connection, mongo } from 'mongoose'
import type { Logger } from 'pino'
import { KeptCounts } from '../history/kept-counts.ts'
import { RollUps } from '../history/roll-ups.ts'
import type { Feed } from '../live/feed.ts'
import { asError } from '../thrown.ts'
import { databaseName, needsMajority, refuseWeakOptions } from './address.ts'
import { Availability } from './availability.ts'
import { CausalReads } from './causal-reads.ts'
import { dataClientOptions, patientClientOptions, SELECTION_MS } from './client-options.ts'
import { driver, loadMongoose } from './driver.ts'
import { firstContact } from './first-contact.ts'
import { type BlockedIndex, blockedText, makeIndexes } from './index-builds.ts'
import { INDEXES } from './indexes.ts'
import { majorityDb } from './majority-db.ts'
import { maskUri } from './mask-uri.ts'
import { type Migrated, migrate, requireSchema, schemaVersion } from './schema.ts'
import { ServerClock } from './server-clock.ts'
import { type Hello, refuseServer } from './server-support.ts'
import { forbidden, isOutage } from './unknown-outcome.ts'

const PROBE_PAUSE_MS = 100

export interface DatabaseOptions {
  uri: string
  /** The database's name; by default `TASKFLEET_DB`, the name in the address, or `taskfleet`. */
  name?: string | undefined
  /** Limits every wait for a connected server, in milliseconds. A wait for a primary lasts as long as an election takes. */
  timeoutMs?: number
  /** The version of MongoDB's Stable API to use, such as `{ version: '1', strict: true }`. */
  serverApi?: mongo.ServerApi
  log?: Logger
}

/**
 * The clients of one process: one for data, whose waits are limited, and, only if the process opens a change stream, another for that,
 * which waits without a limit by design.
 */
export class FleetDatabase {
  /** The database's name. */
  readonly name: string
  readonly clock: ServerClock
  readonly uri: string
  /** Whether the database is available now; it also logs the two lines of an outage. */
  readonly availability: Availability
  /** Set if there is no server and all data is in this process. */
  readonly memory: { feed(): Feed } | undefined = undefined
  /** Reads that include at least all changes that this process's change stream has reported. */
  readonly causal: CausalReads
  readonly #client: mongo.MongoClient
  readonly #log: Logger | undefined
  /** Makes a client that waits without a limit. Undefined on a client of the caller's, which is used for everything. */
  readonly #patient: (() => mongo.MongoClient) | undefined
  #streams: mongo.MongoClient | undefined
  #connection: Connection | undefined
  /** The error for writes if the database's user may only read. */
  #mayOnlyRead: FleetError | undefined

  private constructor(parts: {
    client: mongo.MongoClient
    name: string
    uri: string
    log: Logger | undefined
    patient?: () => mongo.MongoClient
  }) {
    this.#client = parts.client
    this.name = parts.name
    this.uri = parts.uri
    this.clock = new ServerClock()
    this.#log = parts.log
    this.#patient = parts.patient
    this.availability = new Availability(parts.client, parts.log)
    this.causal = new CausalReads(parts.client)
  }

  /**
   * Connects, and rejects databases that can't give a fleet's guarantees.
   *
   * @throws {FleetError} `BAD_DATABASE_ADDRESS`, `NO_DATABASE`, `NEEDS_REPLICA_SET`, `NEEDS_MAJORITY`, `UNSUPPORTED_SERVER`, `BAD_DATABASE_NAME`,
   * `DATABASE_FORBIDDEN`, `CLOCK_PROBE_FAILED`
   */
  static async connect(options: DatabaseOptions): Promise<FleetDatabase> {
    const { uri, timeoutMs = 5_000, log } = options
    const api = options.serverApi === undefined ? {} : { serverApi: options.serverApi }
    refuseWeakOptions(uri)
    const name = databaseName(uri, options.name)
    const client = clientOf(uri, { ...dataClientOptions(timeoutMs, uri), ...api })
    const patient = (): mongo.MongoClient => new driver.MongoClient(uri, { ...patientClientOptions(timeoutMs), ...api })
    let database: FleetDatabase | undefined
    try {
      await firstContact(client, timeoutMs)
      database = new FleetDatabase({ client, name, uri, log, patient })
      await database.#probePatiently()
      return database
    } catch (error) {
      database?.availability.stop()
      await client.close().catch(() => undefined)
      throw refusedConnection(error, uri)
    }
  }

  /**
   * Uses a client that the caller has connected and will close, so that a fleet can take part in its transactions.
   *
   * @param name the database's name; by default, the connection's own, or for a client `TASKFLEET_DB`, the name in its address, or
   *   `taskfleet`
   * @throws {FleetError} as `connect`; `FOREIGN_DRIVER` for a client of another copy of the driver than mongoose's
   */
  static async on(
    source: Connection | mongo.MongoClient,
    { name, log }: { name?: string | undefined; log?: Logger | undefined } = {},
  ): Promise<FleetDatabase> {
    const client = 'getClient' in source ? source.getClient() : source
    if (!(client instanceof driver.MongoClient)) {
      throw new FleetError(
        'FOREIGN_DRIVER',
        "This is not a MongoClient of mongoose's own driver. Use mongoose.mongo.MongoClient",
      )
    }
    const hosts = client.options.hosts.map(String).join(',')
    if (client.options.retryWrites === false)
      throw needsMajority('retryWrites', 'The client has retryWrites=false, but a fleet needs retryWrites=true')
    const own = 'getClient' in source ? source.name : client.options.dbName
    const uri = `mongodb://${hosts}/${own === 'test' && !('getClient' in source) ? '' : own}`
    await client.connect()
    const database = new FleetDatabase({ client, name: databaseName(uri, name), uri, log })
    try {
      await database.#probe()
      return database
    } catch (error) {
      await database.close()
      throw refusedConnection(error, uri)
    }
  }

  getClient(): mongo.MongoClient {
    return this.#client
  }

  /** A mongoose connection on this client, for models. The first call loads mongoose. */
  get connection(): Connection {
    this.#connection ??= loadMongoose().createConnection().setClient(this.#client).useDb(this.name)
    return this.#connection
  }

  get db(): mongo.Db {
    return majorityDb(this)
  }

  /** The client for change streams. It connects when it is first used. */
  get streams(): mongo.MongoClient {
    this.#streams ??= this.#patient?.() ?? this.#client
    return this.#streams
  }

  /** The database with its connection for streams. */
  get streamsDb(): mongo.Db {
    return this.streams.db(this.name)
  }

  /** Runs commands that may take longer than others, such as index builds. */
  async patiently<T>(act: (db: mongo.Db) => Promise<T>): Promise<T> {
    const client = this.#patient?.()
    try {
      return await act((client ?? this.#client).db(this.name))
    } finally {
      await client?.close()
    }
  }

  /** Reads the server's time. */
  async readClock(): Promise<void> {
    await this.#hello()
  }

  async #hello(): Promise<Hello> {
    const sentAt = performance.now()
    const hello = await this.db.admin().command({ hello: 1 })
    this.clock.observe(hello.localTime as Date, sentAt, performance.now())
    return hello as Hello
  }

  /**
   * Ensures that the database has the schema of this program. An empty or small database is set up.
   *
   * @param writes whether the process must write; then a user who may only read is rejected
   * @throws {FleetError} `NEEDS_MIGRATION`, `NEWER_SCHEMA`, `INDEX_CONFLICT`, `DATABASE_FORBIDDEN`
   */
  async requireSchema({ writes = true }: { writes?: boolean } = {}): Promise<void> {
    if (this.#mayOnlyRead !== undefined) {
      if (writes) throw this.#mayOnlyRead
      if ((await schemaVersion(this.db)) === undefined) return
    }
    const blocked = await requireSchema(this.db, (build) => this.patiently(build))
    if (blocked.length === 0) return
    const code = 'INDEX_MISSING'
    this.#log?.error({ code, blocked: blockedText(blocked) }, 'indexes could not be built because of documents')
  }

  /**
   * Builds missing indexes, as `migrate` does.
   *
   * @returns the indexes that can't be built because of documents
   * @throws {FleetError} `INDEX_CONFLICT`
   */
  ensureIndexes(): Promise<BlockedIndex[]> {
    return this.patiently(makeIndexes)
  }

  /** Brings the database to this program's schema. @throws {FleetError} `INDEX_CONFLICT`, `NEWER_SCHEMA` */
  async migrate({ othersLive }: { othersLive: boolean }): Promise<Migrated> {
    return this.patiently(async (builds) => {
      const migrated = await migrate(this.db, builds, othersLive)
      // So that a large history has counts before the first audit of a worker.
      const parts = { clock: this.clock, log: this.#log }
      const rollUps = new RollUps(builds, parts)
      await new KeptCounts({ ...parts, db: builds, tasks: builds.collection('tasks'), rollUps }).audit()
      return migrated
    })
  }

  /** The indexes that a fleet needs. */
  expectedIndexes(): readonly { collection: string; name: string }[] {
    return INDEXES.map(({ collection, name }) => ({ collection, name }))
  }

  async close(): Promise<void> {
    this.availability.stop()
    if (this.#patient !== undefined) await Promise.all([this.#client.close(), this.#streams?.close()])
  }

  /** A busy server that answers too late is probed again, for as long as a wait for a primary lasts. */
  async #probePatiently(): Promise<void> {
    const beganAt = performance.now()
    for (;;) {
      try {
        return await this.#probe()
      } catch (error) {
        if (!isOutage(error) || performance.now() - beganAt > SELECTION_MS) throw error
        this.#log?.warn({ err: error }, 'the database answered too late while connecting; trying again')
        await sleep(PROBE_PAUSE_MS)
      }
    }
  }

  async #probe(): Promise<void> {
    refuseServer(this.uri, await this.#hello())
    await this.#probeWriteClock()
    const skew = Math.abs(this.clock.now().getTime() - Date.now())
    if (skew > 60_000)
      this.#log?.warn({ skewMs: skew }, "this host's clock differs much from the database's, which is used")
  }

  /** Claims, leases and back-off need the server's time within updates, so this checks that it exists and advances. */
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
        `$$NOW of ${maskUri(this.uri)} is not the server's time: it is ${at?.now}`,
      )
    }
  }
}

/** @throws {FleetError} `BAD_DATABASE_ADDRESS` for an address that the driver can't read */
function clientOf(uri: string, options: mongo.MongoClientOptions): mongo.MongoClient {
  try {
    return new driver.MongoClient(uri, options)
  } catch (error) {
    const { message } = asError(error)
    throw new FleetError('BAD_DATABASE_ADDRESS', `'${maskUri(uri)}' is not an address of MongoDB: ${message}`, {
      cause: error,
    })
  }
}

/** The fleet's error for a failed connection. */
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
    return new FleetError(
      'BAD_DATABASE_NAME',
      `A database whose name differs only in upper and lower case already exists: ${message}`,
      {
        field: 'db',
        cause: error,
      },
    )
  }
  return new FleetError('NO_DATABASE', `No MongoDB responds at ${maskUri(uri)}: ${message}`, { cause: error })
}
