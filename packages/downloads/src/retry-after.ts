import { LONGEST_RETRY_AFTER_MS } from '@taskfleet/protocol'
import { readDate } from './http-headers.ts'

/** What a server that names no delay of a second or more is worth waiting for: nothing. */
const SHORTEST_DELAY_MS = 1_000
/** From here on, a number is a date in seconds since 1970: no server asks for 30 years. */
const FIRST_DATE_SECONDS = 1e9
const FIRST_DATE_MS = 1e12

const UNITS: [name: RegExp, ms: number][] = [
  [/^(ms|milli.*)$/i, 1],
  [/^(s|secs?|seconds?)?$/i, 1_000],
  [/^(m|mins?|minutes?)$/i, 60_000],
  [/^(h|hrs?|hours?)$/i, 3_600_000],
  [/^(d|days?)$/i, 86_400_000],
]

/**
 * How long a server asks to wait before the next request, in milliseconds: by `Retry-After` (RFC 9110, 10.2.3), whatever the status, or by
 * the usual headers for an exhausted rate limit. Servers also send fractions, units, dates as numbers and several values, of which the
 * latest counts. Dates are relative to the server's own clock, where it sends one.
 *
 * @param now of this host, in milliseconds since 1970
 * @returns 1 s to a day; undefined where no delay is named, or one that has passed already: then the usual back-off applies
 */
export function requestedDelay(status: number, headers: Record<string, string>, now: number): number | undefined {
  const serverNow = readDate(headers.date) ?? now
  const delays = values(headers['retry-after'])
    .map((value) => delayOf(value, serverNow))
    .filter((delay) => delay !== undefined)
  const delay = delays.length > 0 ? Math.max(...delays) : rateLimitDelay(status, headers, serverNow)
  if (delay === undefined || delay <= 0) return undefined
  return Math.min(Math.max(delay, SHORTEST_DELAY_MS), LONGEST_RETRY_AFTER_MS)
}

/** Dates have a comma of their own, behind the name of the day. */
const values = (header = ''): string[] =>
  header.split(/(?<=GMT|\d[a-z]{0,12}"?)\s*,\s*/i).map((value) => value.replaceAll('"', '').trim())

function delayOf(value: string, serverNow: number): number | undefined {
  const [, digits, unit = ''] = /^([+-]?\d+(?:[.,]\d+)?)\s*([a-z]*)$/i.exec(value) ?? []
  if (digits !== undefined) {
    const amount = Number(digits.replace(',', '.'))
    const ms = UNITS.find(([name]) => name.test(unit))?.[1]
    if (ms === undefined) return undefined
    if (unit === '' && amount >= FIRST_DATE_MS) return amount - serverNow
    return unit === '' && amount >= FIRST_DATE_SECONDS ? amount * 1_000 - serverNow : amount * ms
  }
  const date = readDate(value)
  return date === undefined ? undefined : date - serverNow
}

/** As GitHub, GitLab and many others say it, also with status 403. */
function rateLimitDelay(status: number, headers: Record<string, string>, serverNow: number): number | undefined {
  const named = (what: string) =>
    headers[`x-ratelimit-${what}`] ?? headers[`ratelimit-${what}`] ?? headers[`x-rate-limit-${what}`]
  const [reset, remaining] = [named('reset'), named('remaining')]
  if (reset === undefined || (status !== 429 && remaining !== '0')) return undefined
  return delayOf(reset.trim(), serverNow)
}
