import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { asError, ChangeFeed, FleetDatabase, WorkerRegister, withoutOutages } from '@taskfleet/core'
import type { Logger } from 'pino'
import { LoadMeter } from '../load/load-meter.ts'
import { VERSION } from '../version.ts'
import { WorkerWatch } from '../worker-watch.ts'
import { Gateway, type ListenAddress } from './gateway.ts'

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

/** A gateway without a worker: a process of its own, registered so that the fleet's task sockets accept its pages. */
export class GatewayHost {
  readonly id = randomUUID()
  readonly #options: GatewayHostOptions
  readonly #load = new LoadMeter()
  #stop: (() => Promise<void>) | undefined
  #url: string | undefined

  constructor(options: GatewayHostOptions) {
    this.#options = options
  }

  get url(): string | undefined {
    return this.#url
  }

  async start(): Promise<void> {
    const { mongo, db, listen, publicUrl, heartbeatMs = 2_500, name = hostname() } = this.#options
    const log = withoutOutages(this.#options.log)
    const database = await FleetDatabase.connect({ uri: mongo, name: db, log })
    const feed = new ChangeFeed(database, { log })
    const gateway = new Gateway({ database, feed, listen, log, ...(publicUrl === undefined ? {} : { publicUrl }) })
    const register = new WorkerRegister(database.connection, database.clock)
    const watch = new WorkerWatch(register, feed, log)
    const beat = (state: 'running' | 'stopped'): Promise<unknown> =>
      register.beat(this.id, {
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

  /** May be called twice. */
  async stop(): Promise<void> {
    const stop = this.#stop
    this.#stop = undefined
    await stop?.()
  }
}
