import type { KeptOpen } from './keep-open.ts'

/** Starts what keeps a view current: tells it each time it changes, and returns how to stop. */
export type Start<View> = (tell: (change: (view: View) => View) => void) => KeptOpen

interface Entry {
  view: unknown
  kept: KeptOpen | undefined
  readonly listeners: Set<() => void>
  closing: ReturnType<typeof setTimeout> | undefined
}

/**
 * Views that several components look at, each kept current once: the first one in starts it, the last one out stops it.
 */
export class SharedViews {
  readonly #entries = new Map<string, Entry>()

  /** The view as it is now; undefined while nobody looks at it. The same object as long as nothing has changed. */
  get<View>(key: string): View | undefined {
    return this.#entries.get(key)?.view as View | undefined
  }

  /** Asks at once for what could not be had. */
  tryAgain(key: string): void {
    this.#entries.get(key)?.kept?.tryAgain()
  }

  /** @returns the undo */
  subscribe<View>(key: string, first: View, start: Start<View>, listener: () => void): () => void {
    const entry = this.#entries.get(key) ?? this.#open(key, first, start)
    clearTimeout(entry.closing)
    // Of its own, so that the same function may listen twice.
    const own = (): void => listener()
    entry.listeners.add(own)
    return () => {
      entry.listeners.delete(own)
      if (entry.listeners.size > 0) return
      // A moment later: StrictMode leaves and comes back at once, and so does a page that changes.
      clearTimeout(entry.closing)
      entry.closing = setTimeout(() => {
        if (entry.listeners.size > 0) return
        this.#entries.delete(key)
        entry.kept?.close()
      })
    }
  }

  #open<View>(key: string, first: View, start: Start<View>): Entry {
    const entry: Entry = { view: first, kept: undefined, listeners: new Set(), closing: undefined }
    this.#entries.set(key, entry)
    entry.kept = start((change) => {
      const view = change(entry.view as View)
      if (view === entry.view) return
      entry.view = view
      for (const listener of [...entry.listeners]) listener()
    })
    return entry
  }
}
