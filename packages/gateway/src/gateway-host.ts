import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { asError } from '@taskfleet/core'
import {
  ChangeFeed,
  FleetDatabase,
  LoadMeter,
  parseSecrets,
  Service,
  SessionWatch,
  UnbrokenWrites,
  WatchLoop,
  WorkerRegister,
  type WorkerReport,
  withoutOutages,
} from '@taskfleet/core/internal'
import { VERSION } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { Logger } from 'pino'
import { checkWebhook } from './attention-webhook.ts'
import type { Gateway, GatewayOptions, ListenAddress } from './gateway.ts'

export interface GatewayHostOptions
  extends Pick<
    GatewayOptions,
    'publicUrl' | 'basePath' | 'trustProxy' | 'environment' | 'attentionWebhook' | 'routes'
  > {
  mongo: string
  /** The database's name, if the address has none. */
  db?: string | undefined
  listen: ListenAddress
  name?: string
  /** The secret that signs sessions and tickets; see `GatewayOptions`. */
  secret?: string | undefined
  heartbeatMs?: number
  log: Logger
}

const HEARTBEAT_MS = 2_500
/** After how many missed heartbeats it counts as dead. */
const BEATS_MISSED = 3

/** A gateway without a worker: a process of its own, registered so that the fleet's task sockets accept its pages. */
export class GatewayHost extends Service {
  readonly #boot = randomUUID()
  #session: string = this.#boot
  readonly #options: GatewayHostOptions
  readonly #load = new LoadMeter()
  readonly #writes = new UnbrokenWrites()
  #gateway: Gateway | undefined

  /** @throws {FleetError} `BAD_SECRET`; `BAD_REQUEST` for an invalid `attentionWebhook` */
  constructor(options: GatewayHostOptions) {
    super()
    parseSecrets(options.secret)
    if (options.attentionWebhook !== undefined) checkWebhook(options.attentionWebhook)
    this.#options = options
  }

  /** Its session. It opens another one if others have ended the last one, as after a long silence. */
  get id(): string {
    return this.#session
  }

  get url(): string | undefined {
    return this.#gateway?.url
  }

  protected override async onStart(): Promise<void> {
    const { mongo, db, listen, secret, heartbeatMs = HEARTBEAT_MS } = this.#options
    const { publicUrl, basePath, trustProxy, environment, attentionWebhook, routes } = this.#options
    const log = withoutOutages(this.#options.log)
    const { Gateway } = await import('./gateway.ts')
    const database = await FleetDatabase.connect({ uri: mongo, name: db, log })
    this.defer(() => database.close())
    await database.requireSchema()
    await this.use(this.#load)
    const feed = await this.use(new ChangeFeed(database, { log }))
    const reached = given({ publicUrl, basePath, trustProxy, environment, attentionWebhook, routes })
    const gateway = new Gateway({ database, feed, listen, log, secret, ...reached })
    this.#gateway = await this.use(gateway)
    const register = new WorkerRegister(database, database.clock)
    const beat = (): Promise<void> => this.#beat(register)
    await beat()
    const unbrokenFor = (gapMs: number): number => this.#writes.lastFor(gapMs, performance.now())
    await this.use(new SessionWatch({ register, feed, log, unbrokenFor, prove: beat }))
    this.defer(() => register.beat(this.#session, this.#report('stopped')).catch(() => undefined))
    const failed = 'a heartbeat failed'
    // Not awaited: one that hangs must not delay the next.
    const look = async (): Promise<void> =>
      void beat().catch((error: unknown) => log.warn({ err: asError(error) }, failed))
    await this.use(new WatchLoop({ look, everyMs: heartbeatMs, log, failed }))
  }

  async #beat(register: WorkerRegister): Promise<void> {
    const beat = await register.beat(this.#session, this.#report('running'))
    if (beat !== null) {
      this.#writes.acknowledged(performance.now())
      return
    }
    // It was silent for too long and counts as dead, but it lives.
    const ended = this.#session
    this.#session = randomUUID()
    await this.#beat(register)
    await register.replaced(ended)
  }

  #report(state: 'running' | 'stopped'): WorkerReport {
    const { name = hostname(), heartbeatMs = HEARTBEAT_MS } = this.#options
    return {
      boot: this.#boot,
      leaseMs: BEATS_MISSED * heartbeatMs,
      name,
      host: hostname(),
      pid: process.pid,
      role: 'gateway',
      url: this.#gateway!.publicUrl,
      secretIds: [...this.#gateway!.secretIds],
      state,
      queues: [],
      tasks: [],
      slots: 0,
      running: 0,
      load: this.#load.read(),
      heartbeatMs,
      version: VERSION,
    }
  }
}
