import { FleetError, UnrecoverableError } from '@taskfleet/protocol'
import { codeOf } from './failures.ts'
import type { Reply } from './http-exchange.ts'
import type { Source } from './http-source.ts'
import { planResume, rangeRequests, type Version } from './resume-plan.ts'
import type { Segment, SegmentMap } from './segment-map.ts'
import type { SpanWriter } from './span-writer.ts'

/** How long a rate is measured before there are more connections. */
const STEP_MS = 200
const GROWTH = 3
/** More connections are worth it when they bring this much more together. */
const LEAST_GAIN = 1.2
/** A connection that is this fast is not what holds a download up, in bytes a second. */
const FAST = 50 * 2 ** 20
/** Nor are more worth it for less time than this. */
const LEAST_LEFT_SECONDS = 0.5
/** No segment is made shorter, in bytes. It is more than is in memory on its way. */
const LEAST_SEGMENT = 2 ** 20
const MOST_FAILURES = 3
/** A connection that brings less, in bytes, has failed. */
const LEAST_BROUGHT = 2 ** 14

/** Of this process, connections beside the first of each download, by origin. */
const extraByOrigin = new Map<string, number>()

export interface ConnectionsOptions {
  map: SegmentMap
  /** Under the signal, so that requests end with it. */
  source(signal: AbortSignal): Source
  origin: string
  total: number
  version: Version
  /** Whether the caller gave a checksum. */
  checked: boolean
  /** Connections at the same time, the first one included. */
  most: number
  signal: AbortSignal
  /** The first byte that is missing. */
  front(): number
  /** Bytes that all connections have received. */
  received(): number
  onReceived(count: number): void
  writer(segment: Segment, onWritten: (from: number, to: number) => void): SpanWriter
  /** Called once before anything is written behind the front; until it answers true, there is one connection. */
  prepare(): Promise<boolean>
  log(message: string): void
}

/**
 * The connections beside the first one of a download: each brings a segment behind it. There are more of them as long as that brings more, and never
 * more than the server lets. What one of them fails with ends that one only.
 */
export class Connections {
  readonly #options: ConnectionsOptions
  readonly #stop = new AbortController()
  readonly #lanes = new Set<Promise<void>>()
  readonly #timer: NodeJS.Timeout
  #most = 1
  /** Whether more were of no use, or are not wanted. */
  #grown = false
  #failures = 0
  #window: { since: number; received: number } | undefined
  #rateBefore: number | undefined
  #prepared: 'no' | 'soon' | 'yes' = 'no'
  #diskFailure: Error | undefined
  #wake: (() => void) | undefined

  constructor(options: ConnectionsOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#step(), STEP_MS)
  }

  /** What the disk or the lease failed with. */
  get failure(): Error | undefined {
    return this.#diskFailure
  }

  /** Resolves when more bytes are on the disk, or a connection has ended. */
  async change(): Promise<void> {
    // The first connection has nothing to do meanwhile: another one may take its place.
    this.#fill()
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }

  /** Ends all of them; nothing is written any more when it resolves. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#stop.abort(NOT_NEEDED)
    await Promise.all(this.#lanes)
  }

  #step(): void {
    const { received, map } = this.#options
    // Until all have brought something, the rate says nothing.
    if (map.requested > 0 || this.#window === undefined) {
      this.#window = { since: performance.now(), received: received() }
      return
    }
    const { since, received: before } = this.#window
    const rate = ((received() - before) / (performance.now() - since)) * 1000
    this.#window = undefined
    if (!this.#grown) this.#grow(rate)
    this.#fill()
  }

  #grow(rate: number): void {
    const { most, map, front, total } = this.#options
    if (this.#rateBefore !== undefined && rate < this.#rateBefore * LEAST_GAIN) this.#grown = true
    const left = total - front() - map.bytesBeyond(front())
    if (this.#grown || rate / this.#most > FAST || left < rate * LEAST_LEFT_SECONDS) return
    if (this.#most > 1) this.#rateBefore = rate
    else this.#rateBefore ??= rate
    this.#most = Math.min(most, this.#most * GROWTH)
    this.#grown = this.#most === most
  }

  #fill(): void {
    const { map, front, total, origin, most } = this.#options
    if (this.#stop.signal.aborted || this.#diskFailure !== undefined || this.#most === 1) return
    if (this.#prepared !== 'yes') {
      this.#prepare()
      return
    }
    while (map.connections < this.#most && (extraByOrigin.get(origin) ?? 0) < most - 1) {
      const segment = map.split(front(), total, LEAST_SEGMENT)
      if (segment === undefined) return
      const lane = this.#run(segment).finally(() => {
        this.#lanes.delete(lane)
        this.#notify()
      })
      this.#lanes.add(lane)
    }
  }

  #prepare(): void {
    if (this.#prepared === 'soon') return
    this.#prepared = 'soon'
    void this.#options.prepare().then((ready) => {
      this.#prepared = ready ? 'yes' : 'no'
      if (ready) this.#fill()
    })
  }

  #notify(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  async #run(segment: Segment): Promise<void> {
    const { origin, map, log } = this.#options
    const start = segment.at
    extraByOrigin.set(origin, (extraByOrigin.get(origin) ?? 0) + 1)
    try {
      await this.#bring(segment)
    } catch (error) {
      if (this.#stop.signal.aborted) return
      const brought = segment.at - start
      log(`a connection for bytes ${start} and on ended with ${codeOf(error) || String(error)} after ${brought}`)
      const final = error instanceof UnrecoverableError || codeOf(error).startsWith('HTTP_')
      if (!final && brought >= LEAST_BROUGHT) return
      // The server lets us have fewer than we want.
      this.#grown = true
      this.#failures += 1
      this.#most = this.#failures >= MOST_FAILURES ? 1 : Math.max(1, Math.min(this.#most, map.connections - 1))
    } finally {
      map.end(segment)
      const others = (extraByOrigin.get(origin) ?? 1) - 1
      if (others > 0) extraByOrigin.set(origin, others)
      else extraByOrigin.delete(origin)
    }
  }

  async #bring(segment: Segment): Promise<void> {
    const { map, onReceived } = this.#options
    const reply = await this.#open(segment)
    let begun = false
    const begins = (): boolean => {
      begun ||= map.begin(segment)
      if (!begun) reply.stop(ALL_HERE)
      return begun
    }
    const writer = this.#options.writer(segment, (from, to) => {
      map.add(from, to)
      this.#notify()
    })
    writer.onFailure = (failure) => {
      this.#diskFailure ??= failure
      reply.stop(failure)
    }
    const took = (count: number, flowing: boolean): boolean => {
      onReceived(count)
      if (segment.at >= segment.to) reply.stop(ALL_HERE)
      return flowing
    }
    const sink = {
      onDrain: () => {},
      write: (chunk: Buffer) => {
        if (!begins()) return false
        const before = segment.at
        const flowing = writer.write(chunk)
        return took(segment.at - before, flowing)
      },
      direct: {
        space: () => (segment.at < segment.to ? writer.space() : undefined),
        filled: (count: number) => begins() && took(count, writer.filled(count)),
      },
    }
    writer.onDrain = () => sink.onDrain()
    try {
      await reply.pipe(sink)
    } catch (error) {
      if (error !== ALL_HERE) throw error
    } finally {
      await writer.close().finally(() => this.#notify())
    }
  }

  /** @throws what the server answers, and `BAD_RANGE` for an answer with other bytes */
  async #open(segment: Segment): Promise<Reply> {
    const { source, signal, total, version, checked } = this.#options
    const disk = { bytes: segment.at, total, version, checked, fresh: false }
    const [range] = rangeRequests(disk)
    if (range === undefined) throw new FleetError('BAD_RANGE', 'there is nothing that tells one version from another')
    const requested = { ...range, to: segment.to }
    const reply = await source(AbortSignal.any([signal, this.#stop.signal])).open(requested)
    const plan = planResume(reply, disk, requested)
    if (plan.kind === 'append') return reply
    reply.stop(NOT_NEEDED)
    throw new UnrecoverableError('BAD_RANGE', 'why' in plan ? plan.why : 'the server ignores ranges')
  }
}

const NOT_NEEDED = new Error('not needed any more')
const ALL_HERE = new Error('all bytes of the segment are here')
