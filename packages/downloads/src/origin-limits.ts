import { FleetError, RetryAfterError } from '@taskfleet/protocol'

export interface OriginLimit {
  /** For each of these hosts, such as `files.example` or `*.example` (hosts below it), with a port where it is not the usual one. By default, for all of them together. */
  hosts?: string | readonly string[]
  /** Connections at the same time. With 0, no download begins. */
  connections?: number
  /** Bytes a second, of all connections together. */
  bytesPerSecond?: number
  /** Times of day, by this host's clock and zone, between which it holds: `08:00-18:00`, or `22:00-06:00` over midnight. By default always. */
  between?: string
}

/** What a download that finds no room waits, in milliseconds, and as much more by chance. */
const BUSY_MS = 5_000
/** A rate may be exceeded for as long as this, in milliseconds. */
const BURST_MS = 100
const TIMES = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/
const DAY = 24 * 60

interface Rule {
  hosts: readonly string[] | undefined
  connections: number
  bytesPerSecond: number
  /** Whether it holds at a minute of the day, and in how many minutes it ends. */
  holds(minute: number): boolean
  endsIn(minute: number): number
}

/** What one rule counts: for one host, or for all of them. */
class Share {
  connections = 0
  #free = 0

  /** @returns how long to wait after these bytes, in milliseconds */
  take(bytes: number, bytesPerSecond: number): number {
    const now = performance.now()
    this.#free = Math.max(this.#free, now - BURST_MS) + (bytes / bytesPerSecond) * 1_000
    return Math.max(0, this.#free - now)
  }
}

/** How much all downloads of this process together may ask of their servers. */
export class OriginLimits {
  readonly #rules: readonly Rule[]
  readonly #shares = new Map<string, Share>()
  readonly #now: () => Date

  /** @throws {FleetError} `BAD_LIMIT` */
  constructor(limits: readonly OriginLimit[] = [], now: () => Date = () => new Date()) {
    this.#rules = limits.map(parsed)
    this.#now = now
  }

  /**
   * Counts a connection until the returned function is called.
   *
   * @throws {RetryAfterError} `ORIGIN_FULL`: there are as many as may be
   */
  enter({ host }: URL): () => void {
    const minute = minuteOf(this.#now())
    const taken: Share[] = []
    for (const [rule, share] of this.#of(host)) {
      taken.push(share)
      if (!rule.holds(minute) || share.connections < rule.connections) continue
      const about = rule.hosts === undefined ? 'this worker' : host
      const until = rule.connections === 0 ? rule.endsIn(minute) * 60_000 : 0
      const most = rule.connections === 1 ? '1 connection' : `${rule.connections} connections`
      throw new RetryAfterError(
        'ORIGIN_FULL',
        `${about} may have ${most} at this time of day`,
        until + BUSY_MS * (1 + Math.random()),
      )
    }
    for (const share of taken) share.connections += 1
    let left = false
    return () => {
      if (!left) for (const share of taken) share.connections -= 1
      left = true
    }
  }

  /** How long a connection to this host has to wait after so many bytes, in milliseconds; undefined if no rate is limited. */
  pace({ host }: URL): ((bytes: number) => number) | undefined {
    const rated = this.#of(host).filter(([{ bytesPerSecond }]) => Number.isFinite(bytesPerSecond))
    if (rated.length === 0) return undefined
    return (bytes) => {
      const minute = minuteOf(this.#now())
      const waits = rated.map(([rule, share]) => (rule.holds(minute) ? share.take(bytes, rule.bytesPerSecond) : 0))
      return Math.max(...waits)
    }
  }

  #of(host: string): [Rule, Share][] {
    return this.#rules.flatMap((rule, index): [Rule, Share][] => {
      if (rule.hosts !== undefined && !rule.hosts.some((pattern) => matches(pattern, host))) return []
      const key = `${index} ${rule.hosts === undefined ? '' : host}`
      const share = this.#shares.get(key) ?? new Share()
      this.#shares.set(key, share)
      return [[rule, share]]
    })
  }
}

const minuteOf = (date: Date): number => date.getHours() * 60 + date.getMinutes()

const matches = (pattern: string, host: string): boolean =>
  pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : host === pattern

function parsed(limit: OriginLimit): Rule {
  const { hosts, connections = Number.POSITIVE_INFINITY, bytesPerSecond = Number.POSITIVE_INFINITY, between } = limit
  const bad = (field: string, takes: string): FleetError =>
    new FleetError('BAD_LIMIT', `a limit's '${field}' is ${takes}`, { field: `limits.${field}` })
  if (connections !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(connections) && connections >= 0))
    throw bad('connections', 'a whole number from 0')
  if (!(bytesPerSecond >= 1)) throw bad('bytesPerSecond', 'a number from 1')
  const names = hosts === undefined ? undefined : [hosts].flat().map((name) => String(name).toLowerCase())
  if (names?.some((name) => !/^(\*\.)?[^\s*/@]+$/.test(name)) || names?.length === 0)
    throw bad('hosts', 'a host such as files.example or *.example, or a list of them')
  const times = between === undefined ? undefined : TIMES.exec(between)
  if (times === null) throw bad('between', "two times of day, such as '08:00-18:00'")
  const [from = 0, to = 0] = times === undefined ? [] : [minutes(times, 1), minutes(times, 3)]
  const whole = times === undefined
  if (!whole && from === to) throw bad('between', 'two different times of day')
  const since = (minute: number): number => (minute - from + DAY) % DAY
  return {
    ...{ hosts: names, connections, bytesPerSecond },
    holds: (minute) => whole || since(minute) < (to - from + DAY) % DAY,
    endsIn: (minute) => (whole ? 5 : (to - minute + DAY) % DAY),
  }
}

const minutes = (times: RegExpExecArray, at: number): number => Number(times[at]) * 60 + Number(times[at + 1])
