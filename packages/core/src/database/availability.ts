import { setTimeout as sleep } from 'node:timers/promises'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { isOutage } from './unknown-outcome.ts'

/** If the primary is missing for less than this, nothing is logged. */
const BLINK_MS = 1_000
/** How soon after a failed check the next one is sent. */
const CHECK_AGAIN_MS = 500

/**
 * Whether the database is available now. An outage is always two log lines, no matter how much fails: one when the database is away,
 * and one with the length of the outage when it is back.
 *
 * The driver's monitor checks each server every 10 s. In between, a broken connection or a failed write of this process raises the
 * suspicion that the database is away. Then a command is sent until one is answered. A command that waits for a primary also makes
 * the driver check its servers twice a second.
 */
export class Availability {
  readonly #client: mongo.MongoClient
  readonly #log: Logger | undefined
  readonly #onChange: (event: mongo.TopologyDescriptionChangedEvent) => void
  readonly #onClosed: (event: mongo.ConnectionClosedEvent) => void
  readonly #listeners = new Set<() => void>()
  readonly #stopping = new AbortController()
  #awaySince: number | undefined
  /** Whether the driver knows of no primary. */
  #primaryMissing = false
  #logging: NodeJS.Timeout | undefined
  #logged = false
  #checking: Promise<void> | undefined

  constructor(client: mongo.MongoClient, log: Logger | undefined) {
    this.#client = client
    this.#log = log
    this.#onChange = ({ newDescription }) => this.#sees([...newDescription.servers.values()])
    this.#onClosed = ({ reason }) => {
      if (reason === 'error') this.suspect()
    }
    client.on('topologyDescriptionChanged', this.#onChange)
    client.on('connectionClosed', this.#onClosed)
  }

  /** For how long the database has been away, in milliseconds; 0 while it is there. */
  get awayMs(): number {
    return this.#awaySince === undefined ? 0 : performance.now() - this.#awaySince
  }

  /** Calls the listener each time a primary is back. Returns a function that unsubscribes. */
  onBack(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Something failed that an outage would explain. The database counts as away until it answers a command. */
  suspect(): void {
    if (this.#stopping.signal.aborted) return
    this.#away('it does not respond')
  }

  /** Whether the database answers a command now, within a second. */
  async answers(): Promise<boolean> {
    this.suspect()
    const late = sleep(BLINK_MS, false, { signal: this.#stopping.signal, ref: false }).catch(() => false)
    return Promise.race([Promise.resolve(this.#checking).then(() => this.#awaySince === undefined), late])
  }

  stop(): void {
    this.#stopping.abort()
    this.#listeners.clear()
    clearTimeout(this.#logging)
    this.#client.off('topologyDescriptionChanged', this.#onChange)
    this.#client.off('connectionClosed', this.#onClosed)
  }

  #sees(members: readonly mongo.ServerDescription[]): void {
    // The client is being closed.
    if (members.length === 0) return
    // A direct connection to a single member is accepted as it is.
    const there = members.some(({ type }) => type === 'RSPrimary' || (members.length === 1 && type === 'RSSecondary'))
    if (there) {
      this.#back()
      return
    }
    this.#primaryMissing = true
    this.#away(members.find(({ error }) => error !== null)?.error?.message ?? 'no member is primary')
  }

  #away(reason: string): void {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined
    })
    if (this.#awaySince !== undefined) return
    this.#awaySince = performance.now()
    this.#logging = setTimeout(() => {
      this.#logged = true
      this.#log?.warn({ reason }, 'the database is away: running tasks go on, and no new ones start')
    }, BLINK_MS)
    this.#logging.unref()
  }

  /** Sends commands to the primary until one is answered. */
  async #check(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const answered = await this.#client
        .db('admin')
        .command({ ping: 1 })
        .then(
          () => true,
          // A server that refuses the command has answered. A client that its owner has closed can't know.
          (error: unknown) => !isOutage(error),
        )
      if (answered) return this.#back()
      await sleep(CHECK_AGAIN_MS, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  #back(): void {
    if (this.#awaySince === undefined || this.#stopping.signal.aborted) return
    clearTimeout(this.#logging)
    const { awayMs } = this
    this.#awaySince = undefined
    const wasAway = this.#primaryMissing || this.#logged
    this.#primaryMissing = false
    // A suspicion that proved wrong at once concerns nobody.
    if (wasAway) for (const listener of this.#listeners) listener()
    if (!this.#logged) return
    this.#logged = false
    this.#log?.warn({ awayMs: Math.round(awayMs) }, `the database is back after ${(awayMs / 1_000).toFixed(1)} s`)
  }
}
