/** A zone's difference to UTC in milliseconds from a moment on. */
interface Span {
  from: number
  offset: number
}

/** A zone's differences to UTC within a period, each from the moment when it begins. */
export class ClockChanges {
  readonly #spans: readonly Span[]

  private constructor(spans: readonly Span[]) {
    this.#spans = spans
  }

  /** Read from `Intl` alone: once for each day, and each change narrowed down to its second. */
  static of(timeZone: string, since: number, until: number): ClockChanges {
    const offset = offsetReader(timeZone)
    const spans: Span[] = [{ from: since, offset: offset(since) }]
    for (let at = since; at < until; at += DAY_MS) {
      const [before, after] = [offset(at), offset(at + DAY_MS)]
      if (before !== after) spans.push({ from: narrowed(offset, at, at + DAY_MS), offset: after })
    }
    return new ClockChanges(spans)
  }

  /** The moments at which the clocks are changed. */
  get moments(): number[] {
    return this.#spans.slice(1).map(({ from }) => from)
  }

  /** Equal for zones whose clocks show the same all the time. */
  get key(): string {
    return this.#spans.map(({ from, offset }) => `${from} ${offset}`).join()
  }

  /** The local time of a moment, as if it were UTC. */
  wall(moment: number): number {
    return moment + this.#spans.findLast(({ from }) => from <= moment)!.offset
  }

  /** The moments with this local time: one, two, or none if it is skipped. */
  momentsOf(wall: number): number[] {
    const all = this.#spans.map(({ offset }) => wall - offset).filter((moment) => moment >= this.#spans[0]!.from)
    return [...new Set(all)].filter((moment) => this.wall(moment) === wall).sort((a, b) => a - b)
  }

  /** The moment at which the clock skips a local time. */
  jumpOver(wall: number): number {
    return this.#spans.slice(1).find(({ from, offset }) => this.wall(from - 1) + 1 <= wall && wall < from + offset)!
      .from
  }
}

const DAY_MS = 86_400_000

function narrowed(offset: (moment: number) => number, before: number, after: number): number {
  let [low, high] = [before, after]
  const old = offset(low)
  while (high - low > 1_000) {
    const middle = low + Math.floor((high - low) / 2_000) * 1_000
    if (offset(middle) === old) low = middle
    else high = middle
  }
  return high
}

function offsetReader(timeZone: string): (moment: number) => number {
  const format = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' })
  return (moment) => {
    const text = format.formatToParts(moment).find(({ type }) => type === 'timeZoneName')!.value
    const [, sign, hours, minutes, seconds = '0'] = /^GMT(?:([+-])(\d+):(\d+)(?::(\d+))?)?$/.exec(text)!
    if (sign === undefined) return 0
    return (sign === '-' ? -1 : 1) * (Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds)) * 1_000
  }
}

/** Each kind of clock change in the world within a period, with a zone that has it. */
export function allClockChanges(zones: readonly string[], since: number, until: number): Map<string, ClockChanges> {
  const known = new Set<string>()
  const distinct = new Map<string, ClockChanges>()
  for (const zone of zones) {
    const changes = ClockChanges.of(zone, since, until)
    if (changes.moments.length === 0 || known.has(changes.key)) continue
    known.add(changes.key)
    distinct.set(zone, changes)
  }
  return distinct
}
