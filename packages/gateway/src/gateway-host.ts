import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { asError } from '@taskfleet/core'
import {
  ChangeFeed,
  FleetDatabase,
  LoadMeter,
  SessionWatch,
  UnbrokenWrites,
  WorkerRegister,
  withoutOutages,
} from '@taskfleet/core/internal'
import { VERSION } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import type { ListenAddress } from './gateway.ts'

export interface GatewayHostOptions {
  mongo: string
  /** The database's name, where the address does not say it. */
  db?: string | undefined
  listen: ListenAddress
  publicUrl?: string
  name?: string
  heartbeatMs?: number
  log: Logger
}

/** For how many heartbeats it may be silent before it is taken for gone. */
const BEATS_MISSED = 3

/** A gateway without a worker: a process of its own, registered so that the fleet's task sockets accept its pages. */
export class GatewayHost {
  readonly #boot = randomUUID()
  #session: string = this.#boot
  readonly #options: GatewayHostOptions
  readonly #load = new LoadMeter()
  #stop: (() => Promise<void>) | undefined
  #url: string | undefined

  constructor(options: GatewayHostOptions) {
    this.#options = options
  }

  /** Its session: another one once the last was ended, as after a long silence. */
  get id(): string {
    return this.#session
  }

  get url(): string | undefined {
    return this.#url
  }

  async start(): Promise<void> {
    const { mongo, db, listen, publicUrl, heartbeatMs = 2_500, name = hostname() } = this.#options
    const log = withoutOutages(this.#options.log)
    const { Gateway } = await import('./gateway.ts')
    const database = await FleetDatabase.connect({ uri: mongo, name: db, log })
    const feed = new ChangeFeed(database, { log })
    const gateway = new Gateway({ database, feed, listen, log, ...(publicUrl === undefined ? {} : { publicUrl }) })
    const register = new WorkerRegister(database.connection, database.clock)
    const writes = new UnbrokenWrites()
    const beat = async (state: 'running' | 'stopped'): Promise<void> => {
      const answer = await register.beat(this.#session, {
        boot: this.#boot,
        leaseMs: BEATS_MISSED * heartbeatMs,
        name,
        host: hostname(),
        pid: process.pid,
        role: 'gateway',
        url: gateway.publicUrl,
        state,
        queues: [],
        tasks: [],
        slots: 0,
        running: 0,
        load: this.#load.read(),
        heartbeatMs,
        version: VERSION,
      })
      if (answer !== null) writes.acknowledged(performance.now())
      else if (state === 'running') await this.#beginAnew(register, () => beat('running'))
    }
    const watch = new SessionWatch({
      register,
      feed,
      log,
      unbrokenFor: (gapMs) => writes.lastFor(gapMs, performance.now()),
      prove: () => beat('running'),
    })
    try {
      await database.requireSchema()
      await feed.start()
      await gateway.start()
      await beat('running')
      await watch.start()
    } catch (error) {
      await Promise.allSettled([watch.stop(), gateway.stop(), feed.stop()])
      await database.close()
      throw error
    }
    this.#url = gateway.url
    const timer = setInterval(() => {
      beat('running').catch((error: unknown) => log.warn({ err: asError(error) }, 'a heartbeat failed'))
    }, heartbeatMs)
    this.#stop = async () => {
      clearInterval(timer)
      await beat('stopped').catch(() => undefined)
      await watch.stop()
      await gateway.stop()
      await feed.stop()
      await database.close()
    }
  }

  /** It was silent for too long and is taken for gone; it is not. */
  async #beginAnew(register: WorkerRegister, beat: () => Promise<void>): Promise<void> {
    const ended = this.#session
    this.#session = randomUUID()
    await beat()
    await register.replaced(ended)
  }

  /** May be called twice. */
  async stop(): Promise<void> {
    const stop = this.#stop
    this.#stop = undefined
    await stop?.()
  }
}
