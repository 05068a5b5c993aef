import type { KeptOpen } from './keep-open.ts'

/** Starts to keep a view current: calls back at each change, and returns the function that stops it. */
export type Start<View> = (tell: (change: (view: View) => View) => void) => KeptOpen

export interface SharedViewsOptions {
  /** How long a view stays open after its last component was unmounted, in milliseconds. */
  lingerMs?: number
  /** Changes within this many milliseconds are rendered together; by default each by itself. */
  frameMs?: number
}

interface Entry {
  view: unknown
  kept: KeptOpen | undefined
  readonly listeners: Set<() => void>
  closing: ReturnType<typeof setTimeout> | undefined
}

/**
 * Views that components share, each kept current once: the first component starts it, the last one stops it.
 */
export class SharedViews {
  readonly #entries = new Map<string, Entry>()
  readonly #lingerMs: number
  readonly #frameMs: number
  /** Changes that are not rendered yet. */
  readonly #changed = new Set<Entry>()

  constructor({ lingerMs = 0, frameMs = 0 }: SharedViewsOptions = {}) {
    this.#lingerMs = lingerMs
    this.#frameMs = frameMs
  }

  /** The current view; undefined without components. The same object as long as nothing has changed. */
  get<View>(key: string): View | undefined {
    return this.#entries.get(key)?.view as View | undefined
  }

  /** Retries failed views at once. */
  tryAgain(key: string): void {
    this.#entries.get(key)?.kept?.tryAgain()
  }

  /** @returns the undo */
  subscribe<View>(key: string, first: View, start: Start<View>, listener: () => void): () => void {
    const entry = this.#entries.get(key) ?? this.#open(key, first, start)
    clearTimeout(entry.closing)
    // A new object, so that the same function may subscribe twice.
    const own = (): void => listener()
    entry.listeners.add(own)
    return () => {
      entry.listeners.delete(own)
      if (entry.listeners.size > 0) return
      // A moment later, because StrictMode unmounts and mounts again at once, and so does a change of pages.
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
