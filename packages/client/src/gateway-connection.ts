import {
  type Ack,
  type ClientToGateway,
  FleetError,
  type GatewayToClient,
  type RenewalAnswer,
  receivedError,
  type Welcome,
} from '@taskfleet/protocol'
import { runAfter, serverOf } from '@taskfleet/protocol/internal'
import { io, type Socket } from 'socket.io-client'
import type { ConnectionState, FleetClientOptions } from './api.ts'
import { Gateways } from './gateways.ts'
import { Pace } from './pace.ts'
import { unreachable } from './unreachable.ts'

const ANSWER_MS = 15_000
/** How long a gateway may take to accept a connection. After that the other transport is tried first. */
const CONNECT_MS = 4_000
const RECONNECT_MS = 250
const MOST_RECONNECT_MS = 3_000
/** How long a client without a connection waits before it reports why. */
const REASON_MS = 9_000
/** Messages that a page with many views sends in large numbers. They stay below the gateway's limit, and commands never wait for them. */
const PACED: ReadonlySet<keyof ClientToGateway> = new Set([
  'subscribeQuery',
  'subscribeStats',
  'subscribeAttention',
  'unsubscribeQuery',
  'taskTicket',
  'hostTicket',
])
const PACED_A_SECOND = 25
const PACED_AT_ONCE = 120
/** The delay after a refusal that may pass, for example because the database was away for a moment. */
const REFUSED_RETRY_MS = 1_000
/** A session is renewed after this part of its remaining time. */
const RENEWED_AT = 0.75
const RENEW_RETRY_MS = 5_000
/** What this client understands. Older gateways ignore it. */
const ABLE = { parts: true } as const
/** Errors of the `token` function after which it is not called again. */
const NO_TOKEN = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'RATE_LIMITED'])

export type StateListener = (state: ConnectionState, error?: Error) => void
type GatewaySocket = Socket<GatewayToClient, ClientToGateway>

/** The notifications to the owner of a connection. */
interface Listener {
  /** The connection is new: the gateway has no subscriptions of it. */
  connected(): void
  received(message: { subscription: string }): void
}

/** The connection to one of the fleet's gateways: over a websocket, or long polling where those are blocked. It reconnects by itself. */
export class GatewayConnection {
  readonly #gateways: Gateways
  readonly #token: FleetClientOptions['token']
  readonly #listener: Listener
  readonly #stateListeners = new Set<StateListener>()
  readonly #pace = new Pace(PACED_A_SECOND, PACED_AT_ONCE)
  /** Rejects calls that wait for an answer, when the connection is refused or closed. */
  readonly #waiting = new Set<(error: Error) => void>()
  /** Resolves calls that wait for a connection. */
  readonly #whenLive = new Set<() => void>()
  #socket: GatewaySocket
  #state: ConnectionState = 'connecting'
  #error: Error | undefined
  #welcome: Welcome | undefined
  #clockOffset = 0
  /** Reports why there is no connection, if nothing else has. */
  #silence: ReturnType<typeof setTimeout> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  /** Counts connection attempts. A token that arrives after the next one has begun is ignored. */
  #begun = 0
  /** Namespaces of hosts on this connection, with the tokens that open them. */
  readonly #namespaces = new Map<string, { socket: Socket; token: string }>()
  /** Cancels the next renewal. */
  #renewal: (() => void) | undefined

  constructor({ url = pageOrigin(), token }: FleetClientOptions, listener: Listener) {
    this.#token = token
    this.#listener = listener
    this.#gateways = new Gateways(typeof url === 'string' ? [url] : url)
    this.#socket = this.#connect()
    this.#reportSilence()
  }

  get state(): ConnectionState {
    return this.#state
  }

  get welcome(): Welcome | undefined {
    return this.#welcome
  }

  get clockOffset(): number {
    return this.#clockOffset
  }

  /** The transports to try, in order, without those that are blocked on this connection. */
  get transports(): string[] {
    return this.#socket.io.engine?.transport.name === 'polling' ? ['polling'] : ['websocket', 'polling']
  }

  /**
   * A further namespace on this connection, which costs no socket of its own. Its owner disconnects it; the connection to another
   * gateway does not open it again.
   */
  namespace(name: string, token: string): Socket {
    const auth = (send: (auth: object) => void) => send({ token: this.#namespaces.get(name)?.token ?? token })
    const known = this.#namespaces.get(name)
    if (known !== undefined) known.token = token
    const socket = this.#socket.io.socket(name, { auth })
    this.#namespaces.set(name, { socket, token })
    return socket
  }

  #leaveNamespaces(): void {
    for (const { socket } of this.#namespaces.values()) socket.disconnect()
    this.#namespaces.clear()
  }

  /** Calls the listener at once and on every change. Returns a function that removes it. */
  onState(listener: StateListener): () => void {
    this.#stateListeners.add(listener)
    listener(this.#state, this.#error)
    return () => this.#stateListeners.delete(listener)
  }

  /** @throws {FleetError} `UNREACHABLE`, `BAD_HOST`, `BAD_ORIGIN` within 10 s; `CLOSED`, or the gateway's refusal */
  async welcomed(): Promise<Welcome> {
    this.#requireOpen()
    await this.#connected()
    if (this.#welcome !== undefined) return this.#welcome
    return this.#unlessRefused(new Promise((resolve) => this.#socket.once('welcome', resolve)))
  }

  /** @throws {FleetError} the answer's error, or `NO_ANSWER`, `UNREACHABLE`, `REFUSED`, `CLOSED` */
  async request<T>(event: keyof ClientToGateway, request: unknown, timeoutMs = ANSWER_MS): Promise<T> {
    this.#requireOpen()
    await this.#connected()
    const turn = PACED.has(event) ? this.#pace.turn() : undefined
    if (turn !== undefined) {
      await turn
      this.#requireOpen()
    }
    const emit = this.#socket.timeout(timeoutMs) as unknown as {
      emitWithAck(event: string, request: unknown): Promise<Ack<object>>
    }
    const sent = emit.emitWithAck(event, request).catch((error: unknown) => {
      throw new FleetError('NO_ANSWER', `The gateway did not answer '${event}' in time`, { cause: error })
    })
    const answer = await this.#unlessRefused(sent)
    if (!answer.ok) throw receivedError(answer.error)
    return answer as unknown as T
  }

  close(): void {
    this.#setState('closed')
    clearTimeout(this.#retry)
    clearTimeout(this.#silence)
    this.#renewal?.()
    this.#leaveNamespaces()
    this.#socket.disconnect()
  }

  #connect(): GatewaySocket {
    const { uri, path } = serverOf(this.#gateways.current)
    const socket: GatewaySocket = io(uri, {
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
      // The gateway counts messages for each connection.
      this.#pace.restart()
      this.#setState('live')
      this.#listener.connected()
    })
    socket.on('disconnect', (reason) => {
      this.#renewal?.()
      if (this.#state === 'closed') return
      this.#setState('reconnecting')
      // socket.io does not reconnect by itself when the server has closed the connection.
      if (reason === 'io server disconnect') socket.connect()
    })
    // The connection opened, and ended before the gateway's welcome.
    socket.io.on('close', (_reason, cause) => {
      if (this.#state === 'live' || !(cause instanceof Error)) return
      this.#setState(this.#trying, unreachable(this.#gateways.current, cause))
    })
    socket.on('connect_error', (error: Error & { data?: { code?: string } }) => {
      // An active socket retries by itself: the gateway could not be reached. Otherwise the gateway has refused.
      if (socket.active) this.#tryNext(error)
      else if (error.data?.code === 'INTERNAL') this.#tryLater(error)
      else this.#setState('refused', new FleetError(error.data?.code ?? 'REFUSED', error.message))
    })
    socket.on('welcome', (welcome) => {
      const { expiresAt, serverTime, gateways = [] } = welcome
      this.#welcome = welcome
      this.#clockOffset = Date.parse(serverTime) - Date.now()
      this.#gateways.learn(gateways)
      if (expiresAt !== undefined) this.#renewBefore({ expiresAt, serverTime })
    })
    for (const event of ['queryDelta', 'queryReset', 'queryPart', 'statsDelta', 'attentionRows'] as const) {
      socket.on(event, (message: { subscription: string }) => this.#listener.received(message))
    }
    return socket
  }

  /** Tries the other transport, or another gateway. */
  #tryNext(error: Error): void {
    this.#setState(this.#trying, unreachable(this.#gateways.current, error))
    // A proxy may accept websockets and never answer them.
    if (error.message === 'timeout') this.#socket.io.opts.transports?.reverse()
    this.#goOn()
  }

  /** Connects to another gateway after a while. @returns whether there is one */
  #goOn(): boolean {
    const tried = this.#gateways.next()
    if (tried === undefined) return false
    // Any that is left would keep the connection, which would then be tried again and again.
    this.#leaveNamespaces()
    this.#socket.removeAllListeners()
    this.#socket.disconnect()
    const connect = (): void => {
      this.#socket = this.#connect()
    }
    clearTimeout(this.#retry)
    const delay = Math.min(tried * RECONNECT_MS, MOST_RECONNECT_MS) * (0.75 + Math.random() / 4)
    this.#retry = setTimeout(connect, delay)
    return true
  }

  #tryLater(error: Error): void {
    this.#setState(this.#trying, error)
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.#socket.connect(), REFUSED_RETRY_MS)
  }

  #reportSilence(): void {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => {
      if (this.#error === undefined) this.#setState(this.#trying, this.#reason())
    }, REASON_MS)
  }

  #reason(): Error {
    return this.#error ?? unreachable(this.#gateways.current, new Error('it accepts connections but does not respond'))
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

  #setState(state: ConnectionState, error?: Error): void {
    if (this.#state === 'closed') return
    const wasLive = this.#state === 'live'
    this.#state = state
    this.#error = error
    if (wasLive && state !== 'live') this.#reportSilence()
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

  /** The credentials and abilities that socket.io sends with each connection. */
  #auth(): object | ((send: (auth: object) => void) => void) {
    const token = this.#token
    if (token === undefined) return ABLE
    if (typeof token === 'string') return { token, ...ABLE }
    return (send) => {
      this.#begun += 1
      const mine = this.#begun
      Promise.resolve(this.#gateways.current)
        .then(token)
        .then(
          (fresh) => {
            if (mine === this.#begun) send({ token: fresh, ...ABLE })
          },
          (error: unknown) => {
            if (mine === this.#begun) this.#hasNoToken(error)
          },
        )
    }
  }

  /** Nothing is sent without a token, because the gateway would treat the client as one without a key. */
  #hasNoToken(thrown: unknown): void {
    if (this.#state === 'closed') return
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    this.#socket.disconnect()
    if (NO_TOKEN.has((error as { code?: string }).code ?? '')) this.#setState('refused', refusalOf(error))
    else if (this.#goOn()) this.#setState(this.#trying, error)
    else this.#tryLater(error)
  }

  /** Both times are the server's, so this host's clock does not matter. */
  #renewBefore({ expiresAt, serverTime }: RenewalAnswer): void {
    this.#renewal?.()
    if (typeof this.#token !== 'function') return
    const left = Date.parse(expiresAt) - Date.parse(serverTime)
    const wait = Number.isFinite(left) ? Math.max(RENEW_RETRY_MS / 5, left * RENEWED_AT) : RENEW_RETRY_MS
    this.#renewal = runAfter(wait, () => void this.#renew())
  }

  async #renew(): Promise<void> {
    const begun = this.#begun
    const isOver = () => this.#state !== 'live' || begun !== this.#begun
    try {
      const token = await (this.#token as (gateway: string) => string | Promise<string>)(this.#gateways.current)
      if (isOver()) return
      const answer = await this.request<RenewalAnswer>('renewSession', { token })
      if (!isOver()) this.#renewBefore(answer)
    } catch {
      // If the key was revoked, the gateway closes the connection, and the next one is refused with the reason.
      if (!isOver()) this.#renewal = runAfter(RENEW_RETRY_MS, () => void this.#renew())
    }
  }

  /** Rejects as soon as the connection is refused or closed. */
  async #unlessRefused<T>(answer: Promise<T>): Promise<T> {
    let forget: (() => void) | undefined
    const refused = new Promise<never>((_, reject) => {
      this.#waiting.add(reject)
      forget = () => this.#waiting.delete(reject)
    })
    try {
      return await Promise.race([answer, refused])
    } finally {
      forget?.()
    }
  }

  /** @throws {FleetError} `REFUSED` or the gateway's refusal, `CLOSED` */
  #requireOpen(): void {
    if (this.#state === 'refused') throw this.#error ?? new FleetError('REFUSED', 'The gateway refuses this client')
    if (this.#state === 'closed') throw new FleetError('CLOSED', 'This client is closed')
  }
}

/** Turns an error into a `FleetError`, which has a code. */
export function refusalOf(error: unknown): FleetError {
  if (error instanceof FleetError) return error
  const { code = 'REFUSED', message = String(error) } = error as { code?: string; message?: string }
  return new FleetError(code, message, { cause: error })
}

/** @throws {FleetError} `BAD_REQUEST` outside of a browser */
function pageOrigin(): string {
  const { location } = globalThis as { location?: { origin: string } }
  if (location !== undefined) return location.origin
  throw new FleetError('BAD_REQUEST', 'A client outside of a browser needs the `url` of a gateway')
}
