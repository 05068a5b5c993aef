import type { KeptOpen } from './keep-open.ts'

/** Starts what keeps a view current: tells it each time it changes, and returns how to stop. */
export type Start<View> = (tell: (change: (view: View) => View) => void) => KeptOpen

export interface SharedViewsOptions {
  /** How long a view stays open after the last component that shows it has gone, in milliseconds. */
  lingerMs?: number
  /** Changes within so many milliseconds are told at once, in one rendering; each by itself by default. */
  frameMs?: number
}

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
  readonly #lingerMs: number
  readonly #frameMs: number
  /** What has changed and is not told yet. */
  readonly #changed = new Set<Entry>()

  constructor({ lingerMs = 0, frameMs = 0 }: SharedViewsOptions = {}) {
    this.#lingerMs = lingerMs
    this.#frameMs = frameMs
  }

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
      }, this.#lingerMs)
    }
  }

  #open<View>(key: string, first: View, start: Start<View>): Entry {
    const entry: Entry = { view: first, kept: undefined, listeners: new Set(), closing: undefined }
    this.#entries.set(key, entry)
    entry.kept = start((change) => {
      const view = change(entry.view as View)
      if (view === entry.view) return
      entry.view = view
      this.#tell(entry)
    })
    return entry
  }

  #tell(entry: Entry): void {
    if (this.#frameMs === 0) {
      tellAll(entry)
      return
    }
    if (this.#changed.size === 0) setTimeout(() => this.#tellChanged(), this.#frameMs)
    this.#changed.add(entry)
  }

  #tellChanged(): void {
    const changed = [...this.#changed]
    this.#changed.clear()
    for (const entry of changed) tellAll(entry)
  }
}

function tellAll({ listeners }: Entry): void {
  for (const listener of [...listeners]) listener()
}
