const KEY = 'taskfleet.key'
/** Where earlier versions kept the key, for every tab and without an end. */
const OLD_KEY = 'taskfleet.token'

/** The parts of `window` that a key touches. */
export interface Page {
  location: Pick<Location, 'hash' | 'pathname' | 'search'>
  history: Pick<History, 'replaceState' | 'state'>
  sessionStorage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>
  localStorage: Pick<Storage, 'getItem' | 'removeItem'>
}

/**
 * The key of the address's `#token=…`, or the key that this tab has kept. It is removed from the address at once, so that it is
 * neither bookmarked nor sent anywhere. The tab keeps the key and not a session, because a session ends while a laptop sleeps.
 */
export function takeKey(page: Page): string | undefined {
  const old = tryOn(() => page.localStorage.getItem(OLD_KEY))
  if (old != null) {
    tryOn(() => page.localStorage.removeItem(OLD_KEY))
    keepKey(page, old)
  }
  const fromAddress = new URLSearchParams(page.location.hash.replace(/^#/, '')).get('token')?.trim()
  if (fromAddress !== undefined) {
    page.history.replaceState(page.history.state, '', page.location.pathname + page.location.search)
    if (fromAddress !== '') {
      keepKey(page, fromAddress)
      return fromAddress
    }
  }
  return tryOn(() => page.sessionStorage.getItem(KEY)) ?? undefined
}

export function keepKey({ sessionStorage }: Pick<Page, 'sessionStorage'>, key: string): void {
  tryOn(() => sessionStorage.setItem(KEY, key))
}

/** Called when the key is no longer valid. */
export function forgetKey({ sessionStorage }: Pick<Page, 'sessionStorage'>): void {
  tryOn(() => sessionStorage.removeItem(KEY))
}

/** Without storage, the key lives as long as the page. */
function tryOn<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}
