import type { mongo } from 'mongoose'
import type { Logger } from 'pino'

/** A primary that is missed for less is not worth a line. */
const BLINK_MS = 1_000

/**
 * Whether a process has a database at the moment, as its connection's monitor sees it. An outage is two log lines, however much fails
 * meanwhile: one when the database is away, and one with the length of the outage when it is back.
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

  /** For how long no primary has been seen, in milliseconds; 0 while there is one. */
  get awayMs(): number {
    return this.#awaySince === undefined ? 0 : performance.now() - this.#awaySince
  }

  /** Calls the listener each time that a primary is seen again. Returns its undo. */
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
    // One member that is asked directly is taken as it is.
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
      this.#log?.warn({ reason }, 'the database is away: what runs goes on, and nothing new begins')
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
