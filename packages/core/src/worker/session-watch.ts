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
/** How long a worker may be silent whose document doesn't say so readably, in milliseconds. */
const UNREADABLE_MS = 30_000

export interface SessionWatchOptions {
  register: Pick<WorkerRegister, 'list' | 'end'>
  feed: Pick<Feed, 'subscribe'>
  log: Logger
  /** For how long this process's own writes have been acknowledged without a gap of so many milliseconds. */
  unbrokenFor: (gapMs: number) => number
  /** Makes a write of this process's own, to learn whether the database answers. */
  prove: () => Promise<unknown>
  /** A session has ended, by whoever: what its worker held can be taken back. */
  onEnded?: (session: string) => void
}

/**
 * Ends the sessions of workers that have fallen silent. Renewals come by the change feed; nothing is asked. Whether one may be ended
 * is decided by the database's clock in one guarded write. And only a process whose own writes have succeeded without a break for as
 * long as that session's lease may try: an outage of the database silences everybody and is nobody's death.
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

  protected override async onStart(): Promise<void> {
    const { feed, log } = this.#options
    this.defer(feed.subscribe({ change: (change) => this.#onChange(change), lost: () => void this.#load() }))
    await this.#load()
    const look = async (): Promise<void> => this.#look()
    await this.use(new WatchLoop({ look, everyMs: LOOK_MS, log, failed: 'silent workers could not be looked for' }))
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
      // Asked again should the database's clock not agree yet.
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
      .catch((error: unknown) => this.#options.log.debug({ err: asError(error) }, 'the database does not answer'))
      .finally(() => {
        this.#proving = false
      })
  }
}
