const KEY = 'taskfleet.token'

/** The parts of `window` that a session touches. */
export interface Page {
  location: Pick<Location, 'hash' | 'pathname' | 'search'>
  history: Pick<History, 'replaceState' | 'state'>
  localStorage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>
}

/**
 * The token of the address's `#token=…`, which is taken out of the address at once so that it is neither bookmarked nor
 * sent anywhere, or the one that was kept from before.
 */
export function takeToken(page: Page): string | undefined {
  const fromAddress = new URLSearchParams(page.location.hash.replace(/^#/, '')).get('token')?.trim()
  if (fromAddress !== undefined) {
    page.history.replaceState(page.history.state, '', page.location.pathname + page.location.search)
    if (fromAddress !== '') {
      keepToken(page, fromAddress)
      return fromAddress
    }
  }
  return keptToken(page)
}

export function keepToken(page: Pick<Page, 'localStorage'>, token: string): void {
  try {
    page.localStorage.setItem(KEY, token)
  } catch {
    // Storage is refused: the token lives as long as the page.
  }
}

function keptToken(page: Pick<Page, 'localStorage'>): string | undefined {
  try {
    return page.localStorage.getItem(KEY) ?? undefined
  } catch {
    return undefined
  }
}
