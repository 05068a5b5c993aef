import { asError, type Change, type ChangeFeed, type WorkerDocument, type WorkerRegister } from '@taskfleet/core'
import type { Logger } from 'pino'

const LOOK_MS = 250

/**
 * Sees workers that have fallen silent and says so in their documents, so that whoever watches them knows. Heartbeats come
 * by the change feed; nothing is asked. Whether one is silent is decided by the database's clock, in one guarded write.
 */
export class WorkerWatch {
  readonly #register: WorkerRegister
  readonly #log: Logger
  /** When the next sign of life is overdue, by `performance.now()`. */
  readonly #overdueAt = new Map<string, number>()
  readonly #unsubscribe: () => void
  #timer: NodeJS.Timeout | undefined

  constructor(register: WorkerRegister, feed: ChangeFeed, log: Logger) {
    this.#register = register
    this.#log = log
    this.#unsubscribe = feed.subscribe({ change: (change) => this.#onChange(change), lost: () => void this.#load() })
  }

  async start(): Promise<void> {
    await this.#load()
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#unsubscribe()
  }

  async #load(): Promise<void> {
    try {
      for (const worker of await this.#register.list()) this.#expect(worker)
    } catch (error) {
      this.#log.warn({ err: asError(error) }, 'the workers could not be listed')
    }
  }

  #onChange({ collection, id, doc }: Change): void {
    if (collection !== 'workers') return
    if (doc === null) this.#overdueAt.delete(String(id))
    else if (this.#register.isReadable(doc as WorkerDocument)) this.#expect(doc as WorkerDocument)
    else this.#overdueAt.delete(String(id))
  }

  #expect({ _id, state, heartbeatMs }: WorkerDocument): void {
    if (state === 'stopped' || state === 'lost') this.#overdueAt.delete(_id)
    else this.#overdueAt.set(_id, performance.now() + this.#register.silentMs({ heartbeatMs }))
  }

  #look(): void {
    const now = performance.now()
    for (const [id, overdueAt] of this.#overdueAt) {
      if (overdueAt > now) continue
      // Asked again should the database's clock not agree yet.
      this.#overdueAt.set(id, now + 1_000)
      this.#register.markLost(id).then(
        (lost) => {
          if (!lost) return
          this.#overdueAt.delete(id)
          this.#log.warn({ worker: id }, 'a worker has fallen silent')
        },
        (error: unknown) => this.#log.warn({ err: asError(error) }, 'a silent worker could not be marked'),
      )
    }
  }
}
