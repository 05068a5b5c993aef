import type { Fleet } from '@taskfleet/core'
import {
  type Change,
  concerns,
  encodeChange,
  FEED_BEAT_MS,
  FEED_NAMESPACE,
  type Feed,
  type FeederToWorker,
  type FeedInterest,
  FeedTokens,
  isShaped,
  type ServerClock,
  Service,
  type SigningKeys,
  WatchLoop,
  type WorkerToFeeder,
} from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import type { Server, Socket } from 'socket.io'
import { z } from 'zod'
import type { Backlog } from './backlog.ts'
import { connectError } from './task-socket.ts'

export interface FeederDeps {
  fleet: Fleet
  feed: Feed
  keys: SigningKeys
  clock: Pick<ServerClock, 'now'>
  backlog: Backlog
  log: Logger
}

type Subscriber = Socket<WorkerToFeeder, FeederToWorker, Record<string, never>, { interest: FeedInterest }>

const MOST_QUEUES = 10_000
const interestShape = z.object({
  queues: z.array(z.string().max(1_000)).max(MOST_QUEUES),
  session: z.string().max(100),
})

/**
 * Passes this process's changes on to workers, so that a fleet has as many change streams as feeders, however many workers it has.
 * A worker gets what concerns it. One that does not read gets nothing more until it does, and then reads the database again.
 */
export class Feeder extends Service {
  readonly #io: Server
  readonly #deps: FeederDeps
  readonly #subscribers = new Set<Subscriber>()
  /** Workers that missed changes because they did not read. */
  readonly #behind = new Set<Subscriber>()
  #batch: Change[] = []

  /** How many workers it passes changes on to. */
  get workers(): number {
    return this.#subscribers.size
  }

  constructor(io: Server, deps: FeederDeps) {
    super()
    this.#io = io
    this.#deps = deps
  }

  protected override async onStart(): Promise<void> {
    const { feed, keys, clock, log } = this.#deps
    const tokens = new FeedTokens(keys, () => clock.now())
    const namespace = this.#io.of(FEED_NAMESPACE)
    namespace.use((socket, next) => {
      this.#admit(socket as unknown as Subscriber, tokens).then(
        () => next(),
        (error: unknown) => next(connectError(error, log)),
      )
    })
    namespace.on('connection', (socket) => this.#subscribe(socket as unknown as Subscriber))
    this.defer(
      feed.subscribe({
        change: (change) => this.#onChange(change),
        lost: (reason) => {
          this.#flush()
          for (const socket of this.#subscribers) socket.emit('lost', reason)
        },
      }),
    )
    const look = async (): Promise<void> => this.#beat()
    await this.use(
      new WatchLoop({ look, everyMs: FEED_BEAT_MS, log, failed: 'the state of the feed could not be sent to workers' }),
    )
  }

  /** @throws {FleetError} `UNAUTHENTICATED`, `SECRET_MISMATCH`, `TOKEN_EXPIRED`, `BAD_REQUEST`; `NO_FEED` where the feed is another process's */
  async #admit(socket: Subscriber, tokens: FeedTokens): Promise<void> {
    const { token, interest } = socket.handshake.auth as { token?: unknown; interest?: unknown }
    await tokens.verify(token)
    const parsed = interestShape.safeParse(interest)
    if (!parsed.success) throw new FleetError('BAD_REQUEST', 'A worker must send its queues and its session')
    if (!this.#deps.feed.isDirect) throw new FleetError('NO_FEED', 'This process has no change stream of its own')
    socket.data.interest = parsed.data
  }

  #subscribe(socket: Subscriber): void {
    this.#flush()
    this.#subscribers.add(socket)
    socket.emit('beat', this.#now)
    socket.on('interest', (interest: unknown) => {
      const parsed = interestShape.safeParse(interest)
      if (parsed.success) socket.data.interest = parsed.data
    })
    socket.on('disconnect', () => {
      this.#subscribers.delete(socket)
      this.#behind.delete(socket)
    })
  }

  get #now(): { until: number; lagMs: number } {
    const { reportedUntil, lagMs } = this.#deps.feed
    return { until: reportedUntil.getTime(), lagMs }
  }

  #onChange(change: Change): void {
    if (this.#subscribers.size === 0) return
    if (this.#batch.length === 0) setImmediate(() => this.#flush())
    this.#batch.push(change)
  }

  /** Sends the collected changes. Each is encoded once for all workers. */
  #flush(): void {
    const batch = this.#batch
      .splice(0)
      .map((change) => ({ change, fits: this.#fits(change), bytes: undefined as Uint8Array | undefined }))
    if (batch.length === 0) return
    for (const socket of this.#subscribers) {
      if (this.#isBehind(socket)) continue
      const wanted = batch.filter(({ change, fits }) => !fits || concerns(change, socket.data.interest))
      if (wanted.length === 0) continue
      socket.emit('changes', Buffer.concat(wanted.map((one) => (one.bytes ??= encodeChange(one.change, one.fits)))))
    }
  }

  #fits({ collection, doc }: Change): boolean {
    return doc === null || !isShaped(collection) || this.#deps.fleet.gate.isReadable(collection, doc as never)
  }

  #isBehind(socket: Subscriber): boolean {
    const behind = this.#deps.backlog.isBehind(socket as unknown as Socket)
    if (behind) this.#behind.add(socket)
    return behind || this.#behind.has(socket)
  }

  /** Workers leave a feeder that is silent, or whose own feed is late. */
  #beat(): void {
    if (!this.#deps.feed.isDirect) {
      for (const socket of this.#subscribers) socket.disconnect()
      return
    }
    this.#flush()
    for (const socket of this.#subscribers) {
      if (this.#deps.backlog.isBehind(socket as unknown as Socket)) continue
      if (this.#behind.delete(socket)) socket.emit('lost', 'HISTORY_LOST')
      socket.emit('beat', this.#now)
    }
  }
}
