import type { FleetControl } from '@taskfleet/protocol'
import {
  type Ack,
  type ClientToGateway,
  type CollectionName,
  FleetError,
  type FleetOperations,
  type FleetStats,
  type GatewayToClient,
  type QueryRequest,
  type RenewalAnswer,
  receivedError,
  type StatsAnswer,
  type SubscribeAnswer,
  type TicketAnswer,
  type Welcome,
} from '@taskfleet/protocol'
import { controlOf, keepValue, runAfter, serverOf } from '@taskfleet/protocol/internal'
import { io, type Socket } from 'socket.io-client'
import type {
  ConnectionState,
  FleetApi,
  FleetClientOptions,
  LiveQuery,
  LiveStatsHandle,
  RefusedListener,
  RowsListener,
  TaskWatch,
  WatchListeners,
} from './api.ts'
import { Gateways } from './gateways.ts'
import { LiveFigures } from './live-figures.ts'
import { LiveRows } from './live-rows.ts'
import type { Link, LiveSubscription } from './live-subscription.ts'
import { operationsOf } from './operations.ts'
import { Pace } from './pace.ts'
import { TaskFollower } from './task-follower.ts'
import { unreachable } from './unreachable.ts'

const ANSWER_MS = 15_000
/** How long a gateway may take to accept a connection; then the other transport is tried first. */
const CONNECT_MS = 4_000
const RECONNECT_MS = 250
const MOST_RECONNECT_MS = 3_000
/** How long a client without a connection waits until it says why. */
const REASON_MS = 9_000
/** Removing a great many tasks takes its time. */
const PRUNE_MS = 280_000
/** What a page with many views sends in numbers; it keeps below what a gateway allows, and commands never wait for it. */
const PACED: ReadonlySet<keyof ClientToGateway> = new Set([
  'subscribeQuery',
  'subscribeStats',
  'unsubscribeQuery',
  'taskTicket',
])
const PACED_A_SECOND = 25
const PACED_AT_ONCE = 120
/** After a refusal that may pass, such as a database that was away for a moment. */
const REFUSED_RETRY_MS = 1_000
/** A session is renewed when so much of what was left of it has passed. */
const RENEWED_AT = 0.75
const RENEW_RETRY_MS = 5_000
/** What says that a token will not be had, however often it is asked for. */
const NO_TOKEN = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'RATE_LIMITED'])
/** What following a task needs of its row: everything light, and the output. */
const WATCHED_FIELDS =
  'name version status queue priority runAt deadline attempt failures lost maxAttempts worker publicUrl control progress error output createdAt claimedAt startedAt finishedAt updatedAt'.split(
    ' ',
  )

/** Names of subscriptions are one for each, so that each message finds its own. */
type AnySubscription = Pick<LiveSubscription<never, never>, 'open' | 'close' | 'reconnected'> & {
  receive(message: { subscription: string }): void
}
type StateListener = (state: ConnectionState, error?: Error) => void
type GatewayConnection = Socket<GatewayToClient, ClientToGateway>

/** What makes something gets an `_id` before it is sent, so that sending it again makes nothing twice. */
const MAKES = new Set(['tasks.enqueue', 'tasks.enqueueMany', 'events.post', 'callbacks.create'])

/** The operations on tasks under their older names: `client.cancel(…)` is `client.tasks.cancel(…)`. */
export interface FleetClient extends FleetControl {}

/** The fleet as a browser or a program sees it: over a websocket, or long polling where those are blocked, without MongoDB. */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the constructor assigns them all
export class FleetClient implements FleetApi {
  /** Operations on tasks: `client.tasks.cancel(id)`. An input is checked for what JSON would change before it is sent. */
  readonly tasks: FleetOperations['tasks']
  readonly events: FleetOperations['events']
  readonly callbacks: FleetOperations['callbacks']
  readonly schedules: FleetOperations['schedules']
  readonly queues: FleetOperations['queues']
  readonly workers: FleetOperations['workers']
  readonly errors: FleetOperations['errors']
  readonly keys: FleetOperations['keys']
  /** Documents that were changed by hand and don't fit. */
  readonly documents: FleetOperations['documents']
  /** How long ended tasks are kept. */
  readonly retention: FleetOperations['retention']
  /** Who did what: all of it, or to one task with `id`; `audit.list` is the same. */
  readonly audit: FleetOperations['audit']['list'] & FleetOperations['audit']
  readonly #gateways: Gateways
  #socket: GatewayConnection
  readonly #reach: 'direct' | 'relay'
  readonly #stateListeners = new Set<StateListener>()
  readonly #subscriptions = new Set<AnySubscription>()
  readonly #followers = new Set<TaskFollower>()
  #state: ConnectionState = 'connecting'
  #error: Error | undefined
  #welcome: Welcome | undefined
  #clockOffset = 0
  /** Those who wait for an answer that a refusal or the end makes impossible. */
  readonly #waiting = new Set<(error: Error) => void>()
  /** Those who wait for a connection. */
  readonly #whenLive = new Set<() => void>()
  /** Says why there is no connection, if nothing else has. */
  #silence: ReturnType<typeof setTimeout> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  readonly #pace = new Pace(PACED_A_SECOND, PACED_AT_ONCE)
  readonly #token: FleetClientOptions['token']
  /** Counts the connections that were begun: a token that comes late is for none of them. */
  #begun = 0
  /** Calls off the renewal that comes next. */
  #renewal: (() => void) | undefined

  constructor(options: FleetClientOptions = {}) {
    this.#reach = options.reach ?? 'direct'
    this.#token = options.token
    const send = (name: string, request: unknown): Promise<unknown> => this.#operation(name, request)
    this.tasks = operationsOf('tasks', send)
    this.events = operationsOf('events', send)
    this.callbacks = operationsOf('callbacks', send)
    this.schedules = operationsOf('schedules', send)
    this.queues = operationsOf('queues', send)
    this.workers = operationsOf('workers', send)
    this.errors = operationsOf('errors', send)
    this.keys = operationsOf('keys', send)
    this.documents = operationsOf('documents', send)
    this.retention = operationsOf('retention', send)
    const { list } = operationsOf('audit', send)
    this.audit = Object.assign(list.bind(undefined), { list })
    const { audit: _, ...older } = controlOf(this)
    Object.assign(this, older)
    const { url = pageOrigin() } = options
    this.#gateways = new Gateways(typeof url === 'string' ? [url] : url)
    this.#socket = this.#connect()
    this.#sayWhyLater()
  }

  #connect(): GatewayConnection {
    const { uri, path } = serverOf(this.#gateways.current)
    const socket: GatewayConnection = io(uri, {
      path,
      transports: ['websocket', 'polling'],
      tryAllTransports: true,
      timeout: CONNECT_MS,
      auth: this.#auth(),
      reconnectionDelay: RECONNECT_MS,
      reconnectionDelayMax: MOST_RECONNECT_MS,
      forceNew: true,
    })
    socket.on('connect', () => {
      // The gateway counts each connection's messages for itself.
      this.#pace.restart()
      this.#setState('live')
      for (const subscription of this.#subscriptions) subscription.reconnected()
    })
    socket.on('disconnect', (reason) => {
      this.#renewal?.()
      if (this.#state === 'closed') return
      this.#setState('reconnecting')
      // A server that closes on purpose is not tried again by socket.io itself.
      if (reason === 'io server disconnect') socket.connect()
    })
    // It was opened and ended before the gateway had let us in.
    socket.io.on('close', (_reason, cause) => {
      if (this.#state === 'live' || !(cause instanceof Error)) return
      this.#setState(this.#trying, unreachable(this.#gateways.current, cause))
    })
    socket.on('connect_error', (error: Error & { data?: { code?: string } }) => {
      // Without an active retry the gateway has refused; with one it can't be reached.
      if (socket.active) this.#notReached(error)
      else if (error.data?.code === 'INTERNAL') this.#tryLater(error)
      else this.#setState('refused', new FleetError(error.data?.code ?? 'REFUSED', error.message))
    })
    socket.on('welcome', (welcome) => {
      this.#welcome = welcome
      this.#clockOffset = Date.parse(welcome.serverTime) - Date.now()
      this.#gateways.learn(welcome.gateways ?? [])
      const { expiresAt, serverTime } = welcome
      if (expiresAt !== undefined) this.#renewBefore({ expiresAt, serverTime })
    })
    for (const event of ['queryDelta', 'queryReset', 'statsDelta'] as const) {
      socket.on(event, (message: { subscription: string }) => {
        for (const subscription of this.#subscriptions) subscription.receive(message)
      })
    }
    return socket
  }

  /** The other transport, or another gateway, is tried next. */
  #notReached(error: Error): void {
    this.#setState(this.#trying, unreachable(this.#gateways.current, error))
    // Something on the way may take websockets and never answer them.
    if (error.message === 'timeout') this.#socket.io.opts.transports?.reverse()
    const tried = this.#gateways.next()
    if (tried === undefined) return
    this.#socket.removeAllListeners()
    this.#socket.disconnect()
    clearTimeout(this.#retry)
    this.#retry = setTimeout(
      () => {
        this.#socket = this.#connect()
      },
      Math.min(tried * RECONNECT_MS, MOST_RECONNECT_MS) * (0.75 + Math.random() / 4),
    )
  }

  #sayWhyLater(): void {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => {
      if (this.#error === undefined) this.#setState(this.#trying, this.#reason())
    }, REASON_MS)
  }

  #reason(): Error {
    return this.#error ?? unreachable(this.#gateways.current, new Error('it accepts connections and says nothing'))
  }

  /** @throws {FleetError} why there is no connection, within 10 s: `UNREACHABLE`, `BAD_HOST`, `BAD_ORIGIN` */
  async #connected(): Promise<void> {
    if (this.#state === 'live') return
    let late: ReturnType<typeof setTimeout> | undefined
    let live: (() => void) | undefined
    try {
      await this.#unlessRefused(
        new Promise<void>((resolve, reject) => {
          live = resolve
          this.#whenLive.add(resolve)
          late = setTimeout(() => reject(this.#reason()), REASON_MS)
        }),
      )
    } finally {
      clearTimeout(late)
      this.#whenLive.delete(live!)
    }
  }

  get state(): ConnectionState {
    return this.#state
  }

  get welcome(): Welcome | undefined {
    return this.#welcome
  }

  /**
   * Resolves when the gateway has said who it is and what time it is, from when on `clockOffset` holds.
   *
   * @throws {FleetError} `UNREACHABLE`, `BAD_HOST`, `BAD_ORIGIN` within 10 s; `CLOSED`, and what the gateway refuses with
   */
  async welcomed(): Promise<Welcome> {
    this.#requireOpen()
    await this.#connected()
    if (this.#welcome !== undefined) return this.#welcome
    return this.#unlessRefused(new Promise((resolve) => this.#socket.once('welcome', resolve)))
  }

  get clockOffset(): number {
    return this.#clockOffset
  }

  onState(listener: StateListener): () => void {
    this.#stateListeners.add(listener)
    listener(this.#state, this.#error)
    return () => this.#stateListeners.delete(listener)
  }

  /**
   * Follows a query. Resolves with the first answer; the rows stay right through lost connections.
   *
   * @param onRefused hears that the key has lost the right to it since, which closes it
   * @throws {FleetError} what the gateway refuses with, such as `BAD_FILTER`
   */
  async subscribe<N extends CollectionName = 'tasks'>(
    query: QueryRequest & { collection?: N },
    listener: RowsListener<N>,
    onRefused?: RefusedListener,
  ): Promise<LiveQuery<N>> {
    const ask = (resume: object): Promise<SubscribeAnswer> => this.#ask('subscribeQuery', { ...query, ...resume })
    const rows: LiveRows<N> = new LiveRows<N>(
      ask,
      listener,
      this.#link(() => rows, onRefused),
    )
    return this.#opened(rows)
  }

  async subscribeStats(
    request: { filter?: Record<string, unknown> },
    listener: (stats: FleetStats) => void,
    onRefused?: RefusedListener,
  ): Promise<LiveStatsHandle> {
    const ask = (): Promise<StatsAnswer> => this.#ask('subscribeStats', request)
    const figures: LiveFigures = new LiveFigures(
      ask,
      listener,
      this.#link(() => figures, onRefused),
    )
    return this.#opened(figures)
  }

  #link(own: () => AnySubscription, onRefused: RefusedListener | undefined): Link {
    return {
      isLive: () => this.#state === 'live',
      release: (subscription) => this.#release(subscription),
      closed: () => this.#subscriptions.delete(own()),
      refused: (error) => onRefused?.(refusalOf(error)),
    }
  }

  async #opened<One extends AnySubscription>(subscription: One): Promise<One> {
    this.#subscriptions.add(subscription)
    try {
      await subscription.open()
    } catch (error) {
      this.#subscriptions.delete(subscription)
      throw error
    }
    return subscription
  }

  #release(subscription: string): void {
    if (this.#state === 'live') this.#ask('unsubscribeQuery', { subscription }).catch(() => undefined)
  }

  /** Follows one task: on its own socket while it runs, to its next host when it moves, until it has ended. */
  async watchTask(id: string, listeners: WatchListeners): Promise<TaskWatch> {
    const follower = new TaskFollower(listeners, {
      reach: this.#reach,
      transports: () => (this.#socket.io.engine?.transport.name === 'polling' ? ['polling'] : ['websocket', 'polling']),
      ticket: () => this.#ask<TicketAnswer>('taskTicket', { id }),
      cancel: async (reason) => {
        await this.tasks.cancel({ id, ...(reason === undefined ? {} : { reason }) })
      },
      closed: () => this.#followers.delete(follower),
    })
    this.#followers.add(follower)
    const query = { filter: { _id: id }, limit: 1, fields: WATCHED_FIELDS }
    const refused = (error: FleetError) => {
      follower.close()
      listeners.onRefused?.(error)
    }
    const live = await this.subscribe(query, ([task]) => follower.update(task), refused).catch((error: unknown) => {
      follower.close()
      throw error
    })
    follower.onClose(() => void live.close())
    return follower
  }

  async #operation(name: string, given: unknown): Promise<unknown> {
    const request = keepSound(name, given)
    const within = name === 'retention.prune' ? PRUNE_MS : ANSWER_MS
    const ask = () => this.#ask<{ answer?: unknown }>('operation', { name, request }, within)
    const asked = ask().catch((error: unknown) => {
      if ((error as FleetError).code !== 'NO_ANSWER' || !MAKES.has(name)) throw error
      return ask()
    })
    return (await asked).answer
  }

  close(): void {
    for (const follower of this.#followers) follower.close()
    this.#setState('closed')
    clearTimeout(this.#retry)
    clearTimeout(this.#silence)
    this.#renewal?.()
    for (const subscription of this.#subscriptions) void subscription.close()
    this.#subscriptions.clear()
    this.#socket.disconnect()
  }

  #setState(state: ConnectionState, error?: Error): void {
    if (this.#state === 'closed') return
    const wasLive = this.#state === 'live'
    this.#state = state
    this.#error = error
    if (wasLive && state !== 'live') this.#sayWhyLater()
    if (state === 'live') {
      clearTimeout(this.#silence)
      for (const resolve of this.#whenLive) resolve()
    }
    if (state === 'refused' || state === 'closed') {
      const reason = error ?? new FleetError('CLOSED', 'This client is closed')
      for (const reject of this.#waiting) reject(reason)
    }
    for (const listener of this.#stateListeners) listener(state, error)
  }

  get #trying(): ConnectionState {
    return this.#state === 'connecting' ? 'connecting' : 'reconnecting'
  }

  #tryLater(error: Error): void {
    this.#setState(this.#trying, error)
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.#socket.connect(), REFUSED_RETRY_MS)
  }

  /** What socket.io sends with each connection. */
  #auth(): object | ((tell: (auth: object) => void) => void) {
    const token = this.#token
    if (token === undefined) return {}
    if (typeof token === 'string') return { token }
    return (tell) => {
      this.#begun += 1
      const mine = this.#begun
      Promise.resolve()
        .then(token)
        .then(
          (fresh) => {
            if (mine === this.#begun) tell({ token: fresh })
          },
          (error: unknown) => {
            if (mine === this.#begun) this.#hasNoToken(error)
          },
        )
    }
  }

  /** Without a token nothing is sent: a gateway would take its absence for somebody without a key. */
  #hasNoToken(thrown: unknown): void {
    if (this.#state === 'closed') return
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    this.#socket.disconnect()
    if (NO_TOKEN.has((error as { code?: string }).code ?? '')) this.#setState('refused', refusalOf(error))
    else this.#tryLater(error)
  }

  /** Timed by what the server says of both ends, whatever time it is here. */
  #renewBefore({ expiresAt, serverTime }: RenewalAnswer): void {
    this.#renewal?.()
    if (typeof this.#token !== 'function') return
    const left = Date.parse(expiresAt) - Date.parse(serverTime)
    // A server that says nothing sane of its session is asked as one that can't answer.
    const wait = Number.isFinite(left) ? Math.max(RENEW_RETRY_MS / 5, left * RENEWED_AT) : RENEW_RETRY_MS
    this.#renewal = runAfter(wait, () => void this.#renew())
  }

  async #renew(): Promise<void> {
    const begun = this.#begun
    const isOver = () => this.#state !== 'live' || begun !== this.#begun
    try {
      const token = await (this.#token as () => string | Promise<string>)()
      if (isOver()) return
      const answer = await this.#ask<RenewalAnswer>('renewSession', { token })
      if (!isOver()) this.#renewBefore(answer)
    } catch {
      // Who has lost the key is cut by the gateway, and hears why with the next connection.
      if (!isOver()) this.#renewal = runAfter(RENEW_RETRY_MS, () => void this.#renew())
    }
  }

  /** A question that waits for the connection must not wait on when that is refused. */
  async #unlessRefused<T>(asked: Promise<T>): Promise<T> {
    let forget: (() => void) | undefined
    const refused = new Promise<never>((_, reject) => {
      this.#waiting.add(reject)
      forget = () => this.#waiting.delete(reject)
    })
    try {
      return await Promise.race([asked, refused])
    } finally {
      forget?.()
    }
  }

  /** @throws {FleetError} `REFUSED` or what the gateway refuses with, `CLOSED` */
  #requireOpen(): void {
    if (this.#state === 'refused') throw this.#error ?? new FleetError('REFUSED', 'The gateway refuses this client')
    if (this.#state === 'closed') throw new FleetError('CLOSED', 'This client is closed')
  }

  /** @throws {FleetError} the answer's, or `NO_ANSWER`, `UNREACHABLE`, `REFUSED`, `CLOSED` */
  async #ask<T>(event: keyof ClientToGateway, request: unknown, within = ANSWER_MS): Promise<T> {
    this.#requireOpen()
    await this.#connected()
    const turn = PACED.has(event) ? this.#pace.turn() : undefined
    if (turn !== undefined) {
      await turn
      this.#requireOpen()
    }
    const emit = this.#socket.timeout(within) as unknown as {
      emitWithAck(event: string, request: unknown): Promise<Ack<object>>
    }
    const asked = emit.emitWithAck(event, request).catch((error: unknown) => {
      throw new FleetError('NO_ANSWER', `The gateway did not answer '${event}' in time`, { cause: error })
    })
    const answer = await this.#unlessRefused(asked)
    if (!answer.ok) throw receivedError(answer.error)
    return answer as unknown as T
  }
}

/**
 * Refuses an input that JSON would change in silence, and gives what is to be made its `_id`.
 *
 * @throws {FleetError} `BAD_INPUT`
 */
function keepSound(name: string, request: unknown): unknown {
  if (typeof request !== 'object' || request === null) return request
  const { tasks, changes } = request as { tasks?: unknown; changes?: unknown }
  if (name === 'tasks.enqueueMany' && Array.isArray(tasks)) {
    return { ...request, tasks: tasks.map((task: unknown) => keepSound('tasks.enqueue', task)) }
  }
  if (name === 'tasks.edit') return { ...request, changes: withSoundInput(changes as { input?: unknown }) }
  const sound = name.startsWith('tasks.') ? withSoundInput(request) : request
  return MAKES.has(name) ? { _id: newId(), ...sound } : sound
}

function withSoundInput<Request extends { input?: unknown }>(request: Request): Request {
  return request?.input === undefined ? request : { ...request, input: keepValue(request.input, 'sentInput') }
}

/** As an error of ours, which has a code. */
function refusalOf(error: unknown): FleetError {
  if (error instanceof FleetError) return error
  const { code = 'REFUSED', message = String(error) } = error as { code?: string; message?: string }
  return new FleetError(code, message, { cause: error })
}

/** 24 hexadecimal digits, as ids of tasks are: 4 bytes of time, then 8 at random. */
function newId(): string {
  const random = crypto.getRandomValues(new Uint8Array(8))
  const time = Math.floor(Date.now() / 1_000)
  const digits = [...random].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return time.toString(16).padStart(8, '0') + digits
}

/** @throws {FleetError} `BAD_REQUEST` outside of a browser */
function pageOrigin(): string {
  const { location } = globalThis as { location?: { origin: string } }
  if (location === undefined)
    throw new FleetError('BAD_REQUEST', 'A client outside of a browser needs the `url` of a gateway')
  return location.origin
}
