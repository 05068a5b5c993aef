import { type AttentionRow, FleetError, type WireError } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import { databaseError } from '../database/unknown-outcome.ts'
import { asError } from '../thrown.ts'
import { WatchLoop } from '../watch-loop.ts'
import type { Change } from './feed-events.ts'
import { notifyEach } from './notify-each.ts'

/** Where the rows of one reach come from. */
export interface AttentionSource {
  /** Rows that may be up to two seconds old. */
  list(): Promise<AttentionRow[]>
  /** Rows that are read now. */
  read(): Promise<AttentionRow[]>
}

/** What needs somebody, as of `seq`. */
export interface Attention {
  seq: number
  rows: readonly AttentionRow[]
  /** Why the rows can't be read now. They are the last known ones then. */
  error?: WireError
}

/** Gets each change, with the size of the rows. */
export type AttentionListener = (now: Attention, bytes: number) => void

/** The shortest time between two reads. */
const REST_MS = 2_000
/** The longest time: what depends on dates alone, such as a silent worker, is in no change. */
const EVERY_MS = 5_000

/** What needs somebody, for the callers of one reach, kept current. */
export class LiveAttention {
  readonly #source: AttentionSource
  readonly #log: Logger | undefined
  readonly #reads: WatchLoop
  readonly #listeners = new Set<AttentionListener>()
  /** What a worker serves and whether it runs, by its id. Its other changes are heartbeats. */
  readonly #workers = new Map<string, string>()
  #attention: Attention = { seq: 0, rows: [] }
  /** What was published last. */
  #text = '[]'
  #restUntil = 0

  constructor(source: AttentionSource, { log }: { log?: Logger | undefined } = {}) {
    this.#source = source
    this.#log = log
    this.#reads = new WatchLoop({
      look: () => this.#read(),
      everyMs: EVERY_MS,
      firstMs: REST_MS,
      log,
      failed: 'what needs somebody could not be read',
    })
  }

  /** Reads for the first time. @throws {FleetError} `QUERY_TOO_SLOW` */
  async open(): Promise<void> {
    try {
      this.#publish({ rows: await this.#source.list() })
    } catch (error) {
      throw databaseError(error, { asked: 'read' }) ?? error
    }
    await this.#reads.start()
  }

  close(): void {
    void this.#reads.stop()
    this.#listeners.clear()
  }

  get attention(): Attention {
    return this.#attention
  }

  /** The size of its rows. */
  get bytes(): number {
    return this.#text.length
  }

  /** Returns a function that unsubscribes. */
  subscribe(listener: AttentionListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  change(change: Change): void {
    if (this.#matters(change)) this.#readSoon()
  }

  /** Changes were missed. */
  lost(): void {
    this.#readSoon()
  }

  #readSoon(): void {
    this.#reads.lookIn(Math.max(0, this.#restUntil - performance.now()))
  }

  /** Changes of running tasks are progress, and heartbeats say nothing new: the regular reads are enough for those. */
  #matters({ collection, id, doc }: Change): boolean {
    if (collection === 'tasks') return doc?.status !== 'running'
    if (collection !== 'workers') return true
    const { state, name, queues, tasks, secretIds } = doc ?? {}
    const serves = JSON.stringify([state, name, queues, tasks, secretIds])
    if (this.#workers.get(String(id)) === serves) return false
    if (doc === null) this.#workers.delete(String(id))
    else this.#workers.set(String(id), serves)
    return true
  }

  async #read(): Promise<void> {
    try {
      this.#publish({ rows: await this.#source.read() })
    } catch (thrown) {
      const error = databaseError(thrown, { asked: 'read' }) ?? thrown
      if (this.#attention.error === undefined) {
        this.#log?.warn({ err: asError(error) }, 'what needs somebody could not be read; its watchers get the reason')
      }
      const { code, message } =
        error instanceof FleetError ? error : { code: 'INTERNAL', message: 'What needs somebody could not be read' }
      this.#publish({ rows: this.#attention.rows, error: { code, message } })
    } finally {
      this.#restUntil = performance.now() + REST_MS
    }
  }

  #publish({ rows, error }: Omit<Attention, 'seq'>): void {
    const text = JSON.stringify(error === undefined ? rows : [rows, error])
    if (text === this.#text) return
    this.#text = text
    this.#attention = { seq: this.#attention.seq + 1, rows, ...(error === undefined ? {} : { error }) }
    notifyEach(this.#listeners, (listener) => listener(this.#attention, this.bytes), {
      log: this.#log,
      failed: 'a listener of what needs somebody failed',
    })
  }
}
