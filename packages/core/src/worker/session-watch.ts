import type { Logger } from 'pino'
import type { Feed } from '../live/feed.ts'
import type { Change } from '../live/feed-events.ts'
import { Service } from '../service.ts'
import { asError } from '../thrown.ts'
import { WatchLoop } from '../watch-loop.ts'
import { isAlive, silenceMs } from './session.ts'
import type { WorkerDocument } from './worker-model.ts'
import type { WorkerRegister } from './worker-register.ts'

const LOOK_MS = 250
const LONGEST_MS = 3_600_001
/** How long a worker may be silent if its document has no valid `leaseMs`, in milliseconds. */
const UNREADABLE_MS = 30_000

export interface SessionWatchOptions {
  register: Pick<WorkerRegister, 'list' | 'end'>
  feed: Pick<Feed, 'subscribe'>
  log: Logger
  /** For how long this process's own writes have been acknowledged without a gap of `gapMs`. */
  unbrokenFor: (gapMs: number) => number
  /** Makes a write of this process, to check whether the database responds. */
  prove: () => Promise<unknown>
  /** A session has ended, here or in another process, so its tasks can be taken back. */
  onEnded?: (session: string) => void
}

/**
 * Ends the sessions of workers that have fallen silent. It sees their renewals in the change feed, without queries. One guarded
 * write decides by the database's clock whether a session may be ended. A process may try only if its own writes have succeeded
 * without a break for as long as that session's lease, because an outage of the database silences all workers without killing any.
 */
export class SessionWatch extends Service {
  readonly #options: SessionWatchOptions
  /** When the next renewal is overdue, by `performance.now()`, and for how long a session may be silent. */
  readonly #overdue = new Map<string, { at: number; leaseMs: number }>()
  #proving = false

  constructor(options: SessionWatchOptions) {
    super()
    this.#options = options
  }

  /** How many processes of the fleet are alive. */
  get live(): number {
    return this.#overdue.size
  }

  protected override async onStart(): Promise<void> {
    const { feed, log } = this.#options
    this.defer(feed.subscribe({ change: (change) => this.#onChange(change), lost: () => void this.#load() }))
    await this.#load()
    const look = async (): Promise<void> => this.#look()
    await this.use(new WatchLoop({ look, everyMs: LOOK_MS, log, failed: 'silent workers could not be checked' }))
  }

  async #load(): Promise<void> {
    try {
      for (const worker of await this.#options.register.list()) this.#expect(worker)
    } catch (error) {
      this.#options.log.warn({ err: asError(error) }, 'the workers could not be listed')
    }
  }

  #onChange({ collection, id, doc }: Change): void {
    if (collection !== 'workers') return
    if (doc === null) this.#ended(String(id))
    else this.#expect(doc as WorkerDocument)
  }

  #expect(worker: WorkerDocument): void {
    if (!isAlive(worker)) {
      this.#ended(worker._id)
      return
    }
    const said = silenceMs(worker)
    const leaseMs = said > 0 && said < LONGEST_MS ? said : UNREADABLE_MS
    this.#overdue.set(worker._id, { at: performance.now() + leaseMs, leaseMs })
  }

  #ended(session: string): void {
    if (this.#overdue.delete(session)) this.#options.onEnded?.(session)
  }

  #look(): void {
    const now = performance.now()
    for (const [session, overdue] of this.#overdue) {
      if (overdue.at > now) continue
      const { leaseMs } = overdue
      if (this.#options.unbrokenFor(leaseMs / 2) < leaseMs) {
        this.#prove()
        continue
      }
      // Tried again, in case the session is not over yet by the database's clock.
      overdue.at = now + Math.min(1_000, Math.max(100, leaseMs / 16))
      this.#options.register.end(session).then(
        (ended) => {
          if (ended === null) return
          this.#options.log.warn(
            { worker: session, name: ended.name },
            'a worker has fallen silent; its session is ended',
          )
          this.#ended(session)
        },
        (error: unknown) =>
          this.#options.log.warn({ err: asError(error) }, 'the session of a silent worker could not be ended'),
      )
    }
  }

  #prove(): void {
    if (this.#proving) return
    this.#proving = true
    this.#options
      .prove()
      .catch((error: unknown) => this.#options.log.debug({ err: asError(error) }, 'the database does not respond'))
      .finally(() => {
        this.#proving = false
      })
  }
}
