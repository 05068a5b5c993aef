/** Bytes from `from` up to, but without, `to`. */
export interface Span {
  from: number
  to: number
}

/** What one connection brings. */
export interface Segment {
  readonly from: number
  /** The next byte that it receives. */
  at: number
  /** Where it ends. It comes nearer when another connection takes the second half of the rest. */
  to: number
  /** Of whose rest it is a half, until it begins. */
  parent?: Segment | undefined
}

/** As much may be in memory on its way to a segment, in bytes. */
const ON_ITS_WAY = 2 ** 18
/** Halves begin at a multiple of it, where disks like it. */
const ALIGNED = 2 ** 17

/** Which bytes behind the whole start of a file are on the disk, and which are on their way. */
export class SegmentMap {
  /** In order, and apart from each other. */
  #done: Span[] = []
  readonly #running = new Set<Segment>()
  /** Requested, without a byte so far. Their bytes are still their parent's, should it come to them first. */
  readonly #requested = new Set<Segment>()

  constructor(done: readonly Span[] = []) {
    for (const { from, to } of done) this.add(from, to)
  }

  /** How many segments are on their way. */
  get connections(): number {
    return this.#running.size + this.#requested.size
  }

  /** How many of them have no byte yet. */
  get requested(): number {
    return this.#requested.size
  }

  /** These bytes are on the disk. */
  add(from: number, to: number): void {
    if (to <= from) return
    const apart = this.#done.filter((span) => span.to < from || span.from > to)
    const joined = this.#done.filter((span) => span.to >= from && span.from <= to)
    const whole = {
      from: Math.min(from, ...joined.map((span) => span.from)),
      to: Math.max(to, ...joined.map((span) => span.to)),
    }
    this.#done = [...apart, whole].sort((a, b) => a.from - b.from)
  }

  /** Where the bytes on the disk that begin at `at` end; `at` itself where there are none. */
  wholeTo(at: number): number {
    return this.#done.find((span) => span.from <= at && at < span.to)?.to ?? at
  }

  /** What is on the disk from `at` on, in order. */
  beyond(at: number): Span[] {
    return this.#done.flatMap(({ from, to }) => (to > at ? [{ from: Math.max(from, at), to }] : []))
  }

  /** How many bytes `beyond` has. */
  bytesBeyond(at: number): number {
    return this.beyond(at).reduce((sum, { from, to }) => sum + to - from, 0)
  }

  /** Whether a connection brings the byte `at`. */
  isRunning(at: number): boolean {
    return this.#all.some(({ from, to }) => from <= at && at < to)
  }

  /** The bytes from `at` on up to the next ones that are there or on their way. Nothing may be there or on its way at `at`. */
  claim(at: number, total: number): Segment {
    const next = [...this.#done, ...this.#all].map(({ from }) => from).filter((from) => from >= at)
    const segment = { from: at, at, to: Math.min(total, ...next) }
    this.#running.add(segment)
    return segment
  }

  /**
   * Work for one more connection: the largest hole, or the second half of the longest rest. The other connection goes on with that half until
   * `begin`: a server may not let us have a second one.
   *
   * @param least no connection gets fewer bytes of another's rest, and no one keeps fewer
   */
  split(at: number, total: number, least: number): Segment | undefined {
    const hole = largest(this.#holes(at, total), ({ from, to }) => to - from)
    if (hole) return this.#request(hole.from, hole.to)
    const parent = largest([...this.#running], (segment) => this.#restOf(segment) - segment.at)
    if (parent === undefined) return undefined
    const to = this.#restOf(parent)
    if (to - parent.at < 2 * least) return undefined
    const middle = Math.ceil((parent.at + to) / 2 / ALIGNED) * ALIGNED
    return this.#request(middle, to, parent)
  }

  /** Its first byte is there. @returns false when the other connection has come too near in the meantime */
  begin(segment: Segment): boolean {
    const { parent, from } = segment
    if (parent !== undefined) {
      if (parent.at + (this.#running.has(parent) ? ON_ITS_WAY : 0) > from) return false
      parent.to = Math.min(parent.to, from)
    }
    this.#requested.delete(segment)
    this.#running.add(segment)
    return true
  }

  /** Its connection has ended, and all that it brought is written. */
  end(segment: Segment): void {
    this.#running.delete(segment)
    this.#requested.delete(segment)
  }

  get #all(): Segment[] {
    return [...this.#running, ...this.#requested]
  }

  #request(from: number, to: number, parent?: Segment): Segment {
    const segment = { from, at: from, to, parent }
    this.#requested.add(segment)
    return segment
  }

  /** Where a segment will end when all that was requested of its rest has begun. */
  #restOf(segment: Segment): number {
    const halves = [...this.#requested].filter(({ parent }) => parent === segment).map(({ from }) => from)
    return Math.min(segment.to, ...halves)
  }

  #holes(at: number, total: number): Span[] {
    const holes: Span[] = []
    let from = at
    for (const taken of [...this.#done, ...this.#all].sort((a, b) => a.from - b.from)) {
      if (taken.from > from) holes.push({ from, to: Math.min(taken.from, total) })
      from = Math.max(from, taken.to)
    }
    if (from < total) holes.push({ from, to: total })
    return holes
  }
}

function largest<T>(all: readonly T[], size: (one: T) => number): T | undefined {
  return all.reduce<T | undefined>(
    (most, one) => (most === undefined || size(one) > size(most) ? one : most),
    undefined,
  )
}
