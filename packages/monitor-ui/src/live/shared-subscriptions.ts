import { mayPass, retryDelay } from '@taskfleet/client'
import type { WireError } from '@taskfleet/protocol'
import { wireError } from './wire-error.ts'

/** Something that can be read and waited for; the shape of `useSyncExternalStore`. */
export interface Observable<T> {
  subscribe(listener: () => void): () => void
  get(): T
}

/** What every live view says of itself. */
export interface LiveView {
  /** Whether the first answer has come. */
  loaded: boolean
  /** False while the content may be behind. */
  live: boolean
  error: WireError | undefined
  /** Asks again at once; there while there is an error. What may pass is also asked again by itself. */
  again: (() => void) | undefined
}

type Content<V extends LiveView> = Omit<V, keyof LiveView>

/** Subscribes; `show` takes what is heard, `lost` why nothing is heard any more. */
type Subscribe<V extends LiveView> = (
  show: (content: Content<V>) => void,
  lost: (error: unknown) => void,
) => Promise<{ close(): Promise<void> }>

interface Options {
  /** How long a subscription outlives its last listener. */
  lingerMs: number
  isLive: () => boolean
  /** Tells listeners that there is something new. */
  tell: (listeners: Set<() => void>) => void
}

/** A subscription on its way or open. What one that was replaced still says is told apart by its identity. */
interface Opened {
  promise: Promise<{ close(): Promise<void> }> | undefined
}

interface Entry<V extends LiveView> {
  subscribe: Subscribe<V>
  view: V
  listeners: Set<() => void>
  open: Opened | undefined
  closing: ReturnType<typeof setTimeout> | undefined
  /** How often it could not be opened, in a row. */
  failures: number
  retry: ReturnType<typeof setTimeout> | undefined
}

/** Live views by key: each is subscribed once however many listen, and let go shortly after the last one has left. */
export class SharedSubscriptions<V extends LiveView> {
  readonly #nothing: V
  readonly #options: Options
  readonly #entries = new Map<string, Entry<V>>()
  #closed = false

  /** @param nothing the view before the first answer */
  constructor(nothing: V, options: Options) {
    this.#nothing = nothing
    this.#options = options
  }

  /** Equal keys must mean equal subscriptions. */
  view(key: string, subscribe: Subscribe<V>): Observable<V> {
    return {
      subscribe: (listener) => this.#listen(key, subscribe, listener),
      get: () => this.#entries.get(key)?.view ?? this.#nothing,
    }
  }

  /** The connection has come or gone. */
  connected(live: boolean): void {
    for (const [key, entry] of this.#entries) {
      const current = live && entry.view.loaded
      if (live && entry.open === undefined && entry.listeners.size > 0) this.#open(key, entry)
      else if (entry.view.live !== current) this.#show(entry, { ...entry.view, live: current })
    }
  }

  close(): void {
    this.#closed = true
    for (const entry of this.#entries.values()) this.#close(entry)
    this.#entries.clear()
  }

  #listen(key: string, subscribe: Subscribe<V>, listener: () => void): () => void {
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = {
        subscribe,
        view: this.#nothing,
        listeners: new Set(),
        open: undefined,
        closing: undefined,
        failures: 0,
        retry: undefined,
      }
      this.#entries.set(key, entry)
    }
    const mine = entry
    clearTimeout(mine.closing)
    mine.closing = undefined
    const unlisten = listen(mine.listeners, listener)
    if (mine.open === undefined) this.#open(key, mine)
    return () => {
      unlisten()
      if (mine.listeners.size > 0 || this.#closed) return
      clearTimeout(mine.closing)
      mine.closing = setTimeout(() => {
        this.#close(mine)
        if (this.#entries.get(key) === mine) this.#entries.delete(key)
      }, this.#options.lingerMs)
    }
  }

  #open(key: string, entry: Entry<V>): void {
    clearTimeout(entry.retry)
    const open: Opened = { promise: undefined }
    entry.open = open
    const show = (content: Content<V>) => {
      if (entry.open !== open) return
      entry.failures = 0
      const common: LiveView = { loaded: true, live: this.#options.isLive(), error: undefined, again: undefined }
      // The content and what every view has are all of it.
      this.#show(entry, { ...content, ...common } as V)
    }
    const again = () => {
      if (entry.open === undefined && entry.listeners.size > 0) this.#open(key, entry)
    }
    const lost = (thrown: unknown) => {
      if (entry.open !== open) return
      entry.open = undefined
      // What was shown is no longer for those who look.
      const { code, message } = wireError(thrown)
      const error = { code, message: `This key may not see this any more: ${message}` }
      this.#show(entry, { ...this.#nothing, error, again })
    }
    open.promise = entry.subscribe(show, lost)
    open.promise.catch((error: unknown) => {
      if (entry.open !== open) return
      // It is asked again by itself if that can help, after the next reconnection, and by its next user.
      entry.open = undefined
      entry.failures += 1
      this.#show(entry, { ...entry.view, live: false, error: wireError(error), again })
      if (entry.listeners.size === 0) this.#entries.delete(key)
      else if (mayPass(error)) entry.retry = setTimeout(again, retryDelay(entry.failures))
    })
  }

  #close(entry: Entry<V>): void {
    clearTimeout(entry.closing)
    clearTimeout(entry.retry)
    const open = entry.open
    entry.open = undefined
    open?.promise?.then((subscription) => subscription.close()).catch(ignoreGone)
  }

  #show(entry: Entry<V>, view: V): void {
    entry.view = view
    this.#options.tell(entry.listeners)
  }
}

export function listen(listeners: Set<() => void>, listener: () => void): () => void {
  // Wrapped, so that the same function may listen twice and each undo takes out its own.
  const mine = () => listener()
  listeners.add(mine)
  return () => listeners.delete(mine)
}

/** What is closed after the connection has gone is closed already. */
export function ignoreGone(): void {}
