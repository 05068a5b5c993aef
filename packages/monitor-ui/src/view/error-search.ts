import type { ErrorState } from '@taskfleet/protocol'

const STATES: readonly ErrorState[] = ['open', 'resolved', 'ignored']

/** The error page's tab, as its address says it; open ones without. */
export interface ErrorSearch {
  state?: Exclude<ErrorState, 'open'>
}

export function parseErrorSearch(raw: Record<string, unknown>): ErrorSearch {
  const state = STATES.find((known) => known === raw.state)
  return state === undefined || state === 'open' ? {} : { state }
}
