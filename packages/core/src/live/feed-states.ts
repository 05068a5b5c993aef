import { driver } from '../database/driver.ts'
import type { Transitions } from './transitions.ts'

/**
 * `open`: events are read from the stream. `resuming`: the stream is opened again at the place that it had reached.
 * `restarting`: that place is lost, and the stream is opened at the present.
 */
export type FeedState = 'open' | 'resuming' | 'restarting' | 'stopped'
/** `placeLost`: missed events can't be read any more. `rescoped`: a wider or narrower scope is wanted. */
export type FeedEvent = 'opened' | 'failed' | 'placeLost' | 'rescoped' | 'stopped'
/** `announceLoss`: listeners are notified to read again. `pause`: the stream is closed, and the next try waits. */
export type FeedAction = 'none' | 'announce' | 'announceLoss' | 'discard' | 'pause' | 'close'

export const FEED_TRANSITIONS: Transitions<FeedState, 'stopped', FeedEvent, FeedAction> = {
  open: {
    opened: { to: 'open', action: 'none' },
    failed: { to: 'resuming', action: 'pause' },
    placeLost: { to: 'restarting', action: 'pause' },
    rescoped: { to: 'resuming', action: 'discard' },
    stopped: { to: 'stopped', action: 'close' },
  },
  resuming: {
    opened: { to: 'open', action: 'announce' },
    failed: { to: 'resuming', action: 'pause' },
    placeLost: { to: 'restarting', action: 'pause' },
    rescoped: { to: 'resuming', action: 'discard' },
    stopped: { to: 'stopped', action: 'close' },
  },
  restarting: {
    opened: { to: 'open', action: 'announceLoss' },
    failed: { to: 'restarting', action: 'pause' },
    placeLost: { to: 'restarting', action: 'pause' },
    rescoped: { to: 'restarting', action: 'discard' },
    stopped: { to: 'stopped', action: 'close' },
  },
}

/** How often something has gone wrong in a row. */
export interface FeedFailures {
  /** Since the last event. */
  all: number
  /** How often a reachable server refused to open the stream at its place. */
  refusals: number
  /** How often the stream was silent, also after it was opened again. */
  stalls: number
}

export const NO_FAILURES: FeedFailures = { all: 0, refusals: 0, stalls: 0 }

const LOST_CODES = new Set([286, 280, 260, 40647, 9])
const LOST_LABEL = 'NonResumableChangeStreamError'
const REFUSALS_BEFORE_RESTART = 3
const STALLS_BEFORE_RESTART = 2
const FIRST_PAUSE_MS = 100
const LAST_PAUSE_MS = 5_000

/** The wanted scope is not the scope of the open stream. */
export class OtherScope extends Error {}

/** The stream reports nothing any more, not even an error. Its token may still be valid. */
export class Stalled extends Error {}

/** The stream has ended, and the events after its place can't be read. */
export class HistoryLost extends Error {}

/** Maps an error to an event, and counts it. */
export function judgeFailure(
  error: unknown,
  state: FeedState,
  before: FeedFailures,
): { event: FeedEvent; failures: FeedFailures } {
  if (error instanceof OtherScope) return { event: 'rescoped', failures: before }
  // A reachable server that refuses the token won't accept it later. A server that is away may.
  const refused = state !== 'open' && error instanceof driver.MongoServerError
  // After a long absence, a server goes on at the place. If the stream stays silent after that, the place is lost.
  const failures = {
    all: before.all + 1,
    refusals: before.refusals + (refused ? 1 : 0),
    stalls: before.stalls + (error instanceof Stalled ? 1 : 0),
  }
  const lost =
    isHistoryLost(error) || failures.refusals >= REFUSALS_BEFORE_RESTART || failures.stalls >= STALLS_BEFORE_RESTART
  return lost ? { event: 'placeLost', failures: { ...failures, stalls: 0 } } : { event: 'failed', failures }
}

/** How long to wait before the next try, in milliseconds. */
export const pauseAfter = ({ all }: FeedFailures): number => Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (all - 1))

function isHistoryLost(error: unknown): boolean {
  if (error instanceof HistoryLost) return true
  const { code, hasErrorLabel } = error as { code?: unknown; hasErrorLabel?: (label: string) => boolean }
  if (typeof code === 'number' && LOST_CODES.has(code)) return true
  return typeof hasErrorLabel === 'function' && hasErrorLabel.call(error, LOST_LABEL)
}
