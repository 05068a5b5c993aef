import type { Transitions } from './transitions.ts'

/**
 * `live`: the window equals the database, and each change is applied to it. In `opening`, `reading` and `resetting`, the
 * database is being read (for the first time, again, or after the window became invalid), and changes are kept.
 */
export type QueryState = 'opening' | 'live' | 'reading' | 'resetting' | 'closed'
/**
 * `short`: too few rows are in reserve behind the window. `read`: the database has answered; `readAnew`: and was queried after the
 * latest reset. `frame`: watchers may get a delta.
 */
export type QueryEvent = 'change' | 'short' | 'reset' | 'read' | 'readAnew' | 'failed' | 'frame' | 'close'
export type QueryAction =
  | 'none'
  /** Applies the change to the window, or keeps it for later. */
  | 'apply'
  | 'keep'
  /** Queries the database. */
  | 'ask'
  /** Takes the result, then the kept changes. `show` emits the result first, because the reserve may soon be used up again. */
  | 'take'
  | 'show'
  /** Drops the window, then takes the result. */
  | 'replace'
  | 'askAgain'
  /** The query fails to open. */
  | 'giveUp'
  | 'flush'
  | 'end'

export const QUERY_TRANSITIONS: Transitions<QueryState, 'closed', QueryEvent, QueryAction> = {
  opening: {
    change: { to: 'opening', action: 'keep' },
    short: { to: 'opening', action: 'none' },
    reset: { to: 'resetting', action: 'none' },
    read: { to: 'live', action: 'take' },
    readAnew: { to: 'live', action: 'take' },
    failed: { to: 'opening', action: 'giveUp' },
    frame: { to: 'opening', action: 'none' },
    close: { to: 'closed', action: 'end' },
  },
  live: {
    change: { to: 'live', action: 'apply' },
    short: { to: 'reading', action: 'ask' },
    reset: { to: 'resetting', action: 'none' },
    read: { to: 'live', action: 'none' },
    readAnew: { to: 'live', action: 'none' },
    // The result could not be used.
    failed: { to: 'reading', action: 'askAgain' },
    frame: { to: 'live', action: 'flush' },
    close: { to: 'closed', action: 'end' },
  },
  reading: {
    change: { to: 'reading', action: 'keep' },
    short: { to: 'reading', action: 'none' },
    reset: { to: 'resetting', action: 'none' },
    read: { to: 'live', action: 'show' },
    readAnew: { to: 'live', action: 'show' },
    failed: { to: 'reading', action: 'askAgain' },
    frame: { to: 'reading', action: 'none' },
    close: { to: 'closed', action: 'end' },
  },
  resetting: {
    change: { to: 'resetting', action: 'keep' },
    short: { to: 'resetting', action: 'none' },
    reset: { to: 'resetting', action: 'none' },
    read: { to: 'resetting', action: 'none' },
    readAnew: { to: 'live', action: 'replace' },
    failed: { to: 'resetting', action: 'askAgain' },
    frame: { to: 'resetting', action: 'none' },
    close: { to: 'closed', action: 'end' },
  },
}

/** Whether changes are kept for later. */
export const keepsChanges = (state: QueryState): boolean =>
  state !== 'closed' && QUERY_TRANSITIONS[state].change.action === 'keep'
