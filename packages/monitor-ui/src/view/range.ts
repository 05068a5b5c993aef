/** The ranges that have a name, in milliseconds. */
export const RANGES = {
  '15m': { label: 'Last 15 minutes', ms: 15 * 60_000 },
  '1h': { label: 'Last hour', ms: 3_600_000 },
  '6h': { label: 'Last 6 hours', ms: 6 * 3_600_000 },
  '24h': { label: 'Last 24 hours', ms: 24 * 3_600_000 },
  '7d': { label: 'Last 7 days', ms: 7 * 24 * 3_600_000 },
} as const
export type RangeName = keyof typeof RANGES

/** What charts show while any time is chosen. Lists then end nowhere. */
const DEFAULT_RANGE: RangeName = '1h'

/** The one time range of the monitor, in its address: `?range=6h`, or two dates `?range=2027-03-01T02:00Z/2027-03-01T04:00Z`. */
export interface RangeSearch {
  range?: string
}

/** A time range in milliseconds. */
export interface Range {
  from: number
  to: number
  /** It ends now and moves on; undefined for a range between two dates. */
  name: RangeName | undefined
}

/** Reads the parameter of an address. An invalid range is left out. */
export function parseRangeSearch({ range }: Record<string, unknown>): RangeSearch {
  if (typeof range !== 'string') return {}
  return isRangeName(range) || datesOf(range) !== undefined ? { range } : {}
}

const isRangeName = (text: string): text is RangeName => Object.hasOwn(RANGES, text)

/**
 * The range that a parameter means.
 * @param now the server's time in milliseconds
 * @param usual the range without a parameter
 */
export function rangeOf(range: string | undefined, now: number, usual: RangeName = DEFAULT_RANGE): Range {
  const dates = range === undefined ? undefined : datesOf(range)
  if (dates !== undefined) return { ...dates, name: undefined }
  const name = range !== undefined && isRangeName(range) ? range : usual
  return { from: now - RANGES[name].ms, to: now, name }
}

/** A range between two dates as the parameter of an address, to the minute. */
export function writeRange(from: number, to: number): string {
  return [from, to].map((at) => `${new Date(at).toISOString().slice(0, 16)}Z`).join('/')
}

function datesOf(text: string): { from: number; to: number } | undefined {
  const [from, to, ...more] = text
    .split('/')
    .map((date) => (/^\d{4}-\d\d-\d\dT/.test(date) ? Date.parse(date) : Number.NaN))
  if (from === undefined || to === undefined || more.length > 0) return undefined
  return from < to ? { from, to } : undefined
}
