import { asError } from '@taskfleet/core'
import {
  type Change,
  decodeChanges,
  FEED_BEAT_MS,
  FEED_NAMESPACE,
  type FeedBeat,
  type FeederToWorker,
  type FeedInterest,
  type WorkerToFeeder,
} from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { serverOf } from '@taskfleet/protocol/internal'
import type { Socket } from 'socket.io-client'

/** How long a feeder may take to accept a worker. */
const PATIENCE_MS = 2_000
/** A feeder that is silent for longer is taken for gone. */
const SILENT_MS = 3 * FEED_BEAT_MS
/** A feeder whose own feed is later than this is not used. */
const LATE_MS = 5_000

export interface FeederLineOptions {
  /** The feeder's address. */
  url: string
  token: string
  interest: FeedInterest
  /** How long the feeder may take to accept this worker, in milliseconds. */
  patienceMs?: number | undefined
  onChanges: (changes: Change[]) => void
  onLost: (reason: 'HISTORY_LOST' | 'COLLECTION_GONE') => void
  /** Called once, when the feeder can't be relied on any more. */
  onEnd: (why: string) => void
}

/** A worker's subscription to another process's feed. It ends at the first doubt, since another feeder or a stream can take its place. */
export class FeederLine {
  readonly #socket: Socket<FeederToWorker, WorkerToFeeder>
  readonly #options: FeederLineOptions
  #sent: string
  #beat: FeedBeat = { until: 0, lagMs: 0 }
  #silence: NodeJS.Timeout | undefined
  #ended = false

  private constructor(socket: Socket, options: FeederLineOptions) {
    this.#socket = socket
    this.#options = options
    this.#sent = JSON.stringify(options.interest)
  }

  /** Resolves when the feeder reports changes. @throws {FleetError} `NO_FEED`, `UNAUTHENTICATED` …, or `UNREACHABLE` */
  static async open(options: FeederLineOptions): Promise<FeederLine> {
    // Loaded only where there is a feeder.
    const { io } = await import('socket.io-client')
    const { uri, path } = serverOf(options.url)
    const { token, interest, patienceMs = PATIENCE_MS } = options
    const socket = io(`${uri}${FEED_NAMESPACE}`, {
      ...{ path, auth: { token, interest }, transports: ['websocket'], timeout: patienceMs },
      ...{ forceNew: true, reconnection: false },
    })
    const line = new FeederLine(socket, options)
    try {
      await line.#opened(patienceMs)
      return line
    } catch (error) {
      line.close()
      throw error
    }
  }

  /** How far the feeder's feed is. */
  get beat(): FeedBeat {
    return this.#beat
  }

  /** Reports what this worker needs to know of, if that has changed. */
  want(interest: FeedInterest): void {
    const wanted = JSON.stringify(interest)
    if (wanted === this.#sent) return
    this.#sent = wanted
    this.#socket.emit('interest', interest)
  }

  close(): void {
    this.#ended = true
    clearTimeout(this.#silence)
    this.#socket.disconnect()
  }

  #opened(patienceMs: number): Promise<void> {
    const socket = this.#socket
    socket.on('changes', (bytes) => {
      if (this.#ended) return
      try {
        this.#options.onChanges(decodeChanges(bytes))
      } catch (error) {
        this.#end(`it sends what can't be read: ${asError(error).message}`)
      }
    })
    socket.on('lost', (reason) => {
      if (!this.#ended) this.#options.onLost(reason)
    })
    return new Promise((resolve, reject) => {
      const fail = (why: string, code = 'UNREACHABLE'): void => {
        reject(new FleetError(code, why))
        this.#end(why)
      }
      this.#silence = setTimeout(() => fail('it does not answer'), patienceMs)
      socket.on('connect_error', (error: Error & { data?: { code?: string } }) => fail(error.message, error.data?.code))
      socket.on('disconnect', (reason) => fail(`the connection ended: ${reason}`))
      socket.on('beat', (beat) => {
        this.#beat = beat
        clearTimeout(this.#silence)
        if (beat.lagMs > LATE_MS) return fail(`its own feed is ${Math.round(beat.lagMs)} ms late`)
        this.#silence = setTimeout(() => fail('it is silent'), SILENT_MS)
        resolve()
      })
    })
  }

  #end(why: string): void {
    if (this.#ended) return
    this.close()
    this.#options.onEnd(why)
  }
}
