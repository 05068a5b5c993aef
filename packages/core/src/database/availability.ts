import type { mongo } from 'mongoose'
import type { Logger } from 'pino'

/** If the primary is missing for less than this, nothing is logged. */
const BLINK_MS = 1_000

/**
 * Whether the database is available now, as the connection's monitor sees it. An outage is always two log lines, no matter how
 * much fails: one when the database is away, and one with the length of the outage when it is back.
 */
export class Availability {
  readonly #client: mongo.MongoClient
  readonly #log: Logger | undefined
  readonly #onChange: (event: mongo.TopologyDescriptionChangedEvent) => void
  readonly #listeners = new Set<() => void>()
  #awaySince: number | undefined
  #logging: NodeJS.Timeout | undefined
  #logged = false

  constructor(client: mongo.MongoClient, log: Logger | undefined) {
    this.#client = client
    this.#log = log
    this.#onChange = ({ newDescription }) => this.#sees([...newDescription.servers.values()])
    client.on('topologyDescriptionChanged', this.#onChange)
  }

  /** For how long there has been no primary, in milliseconds; 0 while there is one. */
  get awayMs(): number {
    return this.#awaySince === undefined ? 0 : performance.now() - this.#awaySince
  }

  /** Calls the listener each time a primary is back. Returns a function that unsubscribes. */
  onBack(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  stop(): void {
    this.#listeners.clear()
    clearTimeout(this.#logging)
    this.#client.off('topologyDescriptionChanged', this.#onChange)
  }

  #sees(members: readonly mongo.ServerDescription[]): void {
    // A direct connection to a single member is accepted as it is.
    const there = members.some(({ type }) => type === 'RSPrimary' || (members.length === 1 && type === 'RSSecondary'))
    if (there) this.#back()
    else this.#away(members)
  }

  #away(members: readonly mongo.ServerDescription[]): void {
    if (this.#awaySince !== undefined) return
    this.#awaySince = performance.now()
    this.#logging = setTimeout(() => {
      this.#logged = true
      const reason = members.find(({ error }) => error !== null)?.error?.message ?? 'no member is primary'
      this.#log?.warn({ reason }, 'the database is away: running tasks go on, and no new ones start')
    }, BLINK_MS)
    this.#logging.unref()
  }

  #back(): void {
    if (this.#awaySince === undefined) return
    clearTimeout(this.#logging)
    const { awayMs } = this
    this.#awaySince = undefined
    for (const listener of this.#listeners) listener()
    if (!this.#logged) return
    this.#logged = false
    this.#log?.warn({ awayMs: Math.round(awayMs) }, `the database is back after ${(awayMs / 1_000).toFixed(1)} s`)
  }
}
