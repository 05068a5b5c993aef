import { existsSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join, relative, sep } from 'node:path'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import { asError, Fleet, type Principal } from '@taskfleet/core'
import {
  type Feed,
  type FleetDatabase,
  LiveQueries,
  parseId,
  requireReach,
  Service,
  withoutOutages,
} from '@taskfleet/core/internal'
import {
  type ClientToGateway,
  FleetError,
  type GatewayToClient,
  type RenewalAnswer,
  type TicketAnswer,
  VERSION,
} from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { type Namespace, Server, type Socket } from 'socket.io'
import { Access, isBaseAddress, isLoopback, isWildcard } from './access.ts'
import { type ACCOUNT_LIMITS, Accounts } from './accounts.ts'
import type { Attempts } from './attempts.ts'
import { guard, tokenBucket } from './guard.ts'
import { KeyHolders } from './key-holders.ts'
import { serveMetrics } from './metrics/serve-metrics.ts'
import { portInUse } from './port-in-use.ts'
import { serveRelay } from './relay.ts'
import { type RateLimit, registerRest, restServerOptions } from './rest/register-rest.ts'
import { gatewayRules } from './rules.ts'
import { strictParser } from './strict-parser.ts'
import { Subscriptions } from './subscriptions.ts'
import { connectError, MESSAGES_A_SECOND, refuseUnknown, serveTaskSockets } from './task-socket.ts'
import { Tickets } from './tickets.ts'

export interface ListenAddress {
  host: string
  /** 0 for a free one. */
  port: number
}

export interface GatewayOptions {
  database: FleetDatabase
  feed: Feed
  /** The worker whose tasks have their sockets here; a gateway alone has none. */
  runner?: Attempts
  listen: ListenAddress
  /** How others reach it, when that differs from where it listens. */
  publicUrl?: string
  /** How long a live query stays open without watchers, in milliseconds: those who come back in time lose nothing. */
  lingerMs?: number
  /** Whether a client does not read what it is sent; by the size of its backlog unless a test knows better. */
  isBehind?: (socket: Socket) => boolean
  /** How often the keys of open connections are looked at, in milliseconds. */
  keyCheckMs?: number
  /** How much each key may ask of the REST API. */
  rateLimit?: RateLimit
  /** What each key and each address may have of the socket server. */
  accountLimits?: typeof ACCOUNT_LIMITS
  log: Logger
}

/** How much a gateway holds at the moment. */
export interface GatewayLoad {
  connections: number
  namespaces: number
  /** Live queries with watchers. */
  rooms: number
  /** What all connections have subscribed to. */
  subscriptions: number
  /** Live queries in memory, those that wait for somebody to come back included. */
  views: number
}

type GatewaySocket = Socket<
  ClientToGateway,
  GatewayToClient,
  Record<string, never>,
  { principal: Principal & { expiresAt?: Date } }
>

/** How long answers that are on their way may take when a gateway stops. */
const LAST_ANSWERS_MS = 1_000

/** Serves browsers and programs: live queries, commands, task sockets and the monitor. Any gateway answers for the fleet. */
export class Gateway extends Service {
  readonly #options: GatewayOptions
  readonly #log: Logger
  readonly #fleet: Fleet
  readonly #queries: LiveQueries
  readonly #access: Access
  readonly #accounts: Accounts
  readonly #tickets: Tickets
  readonly #holders: KeyHolders
  readonly #http: FastifyInstance
  #subscriptions: Subscriptions | undefined
  #io: Server | undefined
  #url: string | undefined
  #publicUrl: string | undefined

  constructor(options: GatewayOptions) {
    super()
    this.#options = options
    this.#log = withoutOutages(options.log.child({ part: 'gateway' }))
    this.#fleet = new Fleet(options.database, { log: this.#log })
    this.#queries = new LiveQueries(options.database, options.feed, {
      log: this.#log,
      ...given({ lingerMs: options.lingerMs }),
    })
    this.#accounts = new Accounts(options.accountLimits)
    this.#access = new Access(options.database, options.feed)
    this.#tickets = new Tickets(this.#access.keys, () => options.database.clock.now())
    this.#holders = new KeyHolders(this.#access, {
      log: this.#log,
      everyMs: options.keyCheckMs ?? 900,
      now: () => options.database.clock.now(),
    })
    this.#http = fastify({
      loggerInstance: this.#log.child({}, { level: 'warn' }) as FastifyBaseLogger,
      forceCloseConnections: true,
      ...restServerOptions(this.#log),
    })
  }

  /** Where it listens, once started. */
  get url(): string | undefined {
    return this.#url
  }

  /** How others reach it, once started. */
  get publicUrl(): string {
    if (this.#publicUrl === undefined) throw new FleetError('NOT_STARTED', 'The gateway does not listen yet')
    return this.#publicUrl
  }

  get load(): GatewayLoad {
    return {
      connections: this.#io?.engine.clientsCount ?? 0,
      namespaces: this.#io?._nsps.size ?? 0,
      rooms: this.#subscriptions?.size ?? 0,
      subscriptions: this.#subscriptions?.shares ?? 0,
      views: this.#queries.size,
    }
  }

  /** @throws {FleetError} `INSECURE_BIND`, `BAD_PUBLIC_URL`, `EADDRINUSE`, `EADDRNOTAVAIL` */
  protected override async onStart(): Promise<void> {
    const { listen, publicUrl } = this.#options
    this.defer(() => this.#closeHttp())
    this.defer(() => this.#queries.stop())
    await this.use(this.#access)
    const locked = await this.#access.locked()
    if (!locked && !isLoopback(listen.host)) {
      throw new FleetError(
        'INSECURE_BIND',
        `Without a key a gateway listens on this computer only, and ${listen.host} can be reached from others: make a key with 'taskfleet keys create' first`,
      )
    }
    checkPublicUrl(publicUrl, listen)
    if (!locked) this.#log.warn('no key is configured: everybody on this computer may read and control this fleet')
    await this.#serveMonitor()
    this.#openSockets()
    try {
      await this.#http.listen({ host: listen.host, port: listen.port })
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === undefined) throw error
      if (code === 'EADDRINUSE') throw await portInUse(listen, '--listen HOST:PORT (port 0 picks a free one)', error)
      throw new FleetError(code, `Can't listen on ${listen.host}:${listen.port}: ${asError(error).message}`, {
        cause: error,
      })
    }
    await this.use(this.#holders)
    const { port } = this.#http.server.address() as AddressInfo
    const name = listen.host.includes(':') ? `[${listen.host}]` : listen.host
    this.#url = `http://${name}:${port}`
    this.#publicUrl = publicUrl?.replace(/\/+$/, '') ?? this.#url
  }

  async #closeHttp(): Promise<void> {
    // Who does not read their answer to the end must not keep us.
    const cut = setTimeout(() => this.#http.server.closeAllConnections(), LAST_ANSWERS_MS)
    await this.#io?.close()
    await this.#http.close()
    clearTimeout(cut)
  }

  async #serveMonitor(): Promise<void> {
    this.#http.addHook('onRequest', async (request, reply) => {
      try {
        this.#checkRequest(request.raw)
      } catch (error) {
        const { code, message } = error as FleetError
        await reply
          .code(403)
          .type('application/problem+json')
          .send({ type: 'about:blank', status: 403, title: message, code })
      }
    })
    this.#http.get('/health/live', () => ({ status: 'live', version: VERSION }))
    this.#http.get('/health/ready', async (_request, reply) => {
      try {
        const { database } = this.#options
        // A command would wait for a primary as long as an election takes.
        if (database.availability.awayMs > 0) throw new FleetError('NO_DATABASE', 'The database is away')
        await database.readClock()
        return { status: 'ready' }
      } catch (error) {
        this.#log.warn({ err: asError(error) }, 'not ready: the database does not answer')
        return reply.code(503).send({ status: 'unavailable', code: 'NO_DATABASE' })
      }
    })
    const metrics = await serveMetrics(this.#http, {
      fleet: this.#fleet,
      feed: this.#options.feed,
      queries: this.#queries,
      access: this.#access,
      load: () => this.load,
      log: this.#log,
    })
    this.defer(() => metrics.stop())
    await registerRest(this.#http, {
      fleet: this.#fleet,
      queries: this.#queries,
      access: this.#access,
      log: this.#log,
      rateLimit: this.#options.rateLimit,
    })
    const root = monitorFolder()
    if (root === undefined) {
      this.#log.warn('the monitor is not built; run `pnpm build`')
      return
    }
    await this.#http.register(fastifyStatic, {
      root,
      // A list: one name alone is not found where files are packed.
      index: ['index.html'],
      // The build leaves each file packed beside it.
      preCompressed: true,
      cacheControl: false,
      setHeaders: (reply, path) => setPageHeaders(reply, relative(root, path)),
    })
    this.#http.setNotFoundHandler(async (request, reply) => {
      // The monitor's own pages have addresses that only it knows.
      const isPage = request.method === 'GET' && (request.headers.accept ?? '').includes('text/html')
      if (isPage && !request.url.startsWith('/api/')) return reply.sendFile('index.html')
      return reply
        .code(404)
        .type('application/problem+json')
        .send({ type: 'about:blank', status: 404, title: 'There is nothing here', code: 'NOT_FOUND' })
    })
  }

  #checkRequest(request: IncomingMessage): void {
    const { host } = this.#options.listen
    this.#access.checkRequest(request, [this.#url ?? host, this.#publicUrl ?? host])
  }

  #openSockets(): void {
    const io = new Server<ClientToGateway, GatewayToClient>(this.#http.server, {
      transports: ['websocket'],
      serveClient: false,
      parser: strictParser,
      perMessageDeflate: false,
      maxHttpBufferSize: 1024 * 1024,
      connectTimeout: 5_000,
      pingInterval: 10_000,
      pingTimeout: 10_000,
      cleanupEmptyChildNamespaces: true,
      allowRequest: (request, decide) => {
        try {
          this.#checkRequest(request)
          decide(null, true)
        } catch (error) {
          decide((error as FleetError).code, false)
        }
      },
    })
    this.#io = io as unknown as Server
    // Before engine.io's own listener, which answers every refused upgrade with 400.
    this.#http.server.prependListener('upgrade', (request: IncomingMessage, connection: Duplex) => {
      try {
        this.#checkRequest(request)
      } catch (error) {
        refuseUpgrade(connection, error as FleetError)
      }
    })
    const deps = {
      fleet: this.#fleet,
      access: this.#access,
      tickets: this.#tickets,
      log: this.#log,
      attempts: this.#options.runner,
      holders: this.#holders,
      ownUrl: () => this.#url,
    }
    serveTaskSockets(this.#io, deps)
    serveRelay(this.#io, deps)
    const namespace = io.of('/') as unknown as Namespace
    const subscriptions = new Subscriptions(this.#queries, namespace, {
      accounts: this.#accounts,
      log: this.#log,
      isBehind: this.#options.isBehind,
    })
    this.#subscriptions = subscriptions
    this.defer(() => subscriptions.stop())
    namespace.use((socket, next) => {
      const { auth, address } = (socket as GatewaySocket).handshake
      this.#access
        .signIn(auth.token as unknown, address)
        .then((principal) => {
          this.#accounts.check(principal.id, address)
          return principal
        })
        .then(
          (principal) => {
            socket.data.principal = principal
            next()
          },
          (error: unknown) => {
            next(connectError(error, this.#log))
            this.#access.refused(socket.conn, error)
          },
        )
    })
    namespace.on('connection', (socket) => this.#welcome(socket as unknown as GatewaySocket, subscriptions))
  }

  #welcome(socket: GatewaySocket, subscriptions: Subscriptions): void {
    const { principal } = socket.data
    const fleet = this.#fleet.as(principal)
    const { keys } = fleet
    const changing = <T>(change: Promise<T>): Promise<T> =>
      this.#holders.whileChanging(socket as unknown as Socket, change)
    const rules = gatewayRules({
      fleet: {
        ...fleet,
        keys: {
          ...keys,
          create: (request) => changing(keys.create(request)),
          edit: (request) => changing(keys.edit(request)),
          revoke: (request) => changing(keys.revoke(request)),
        },
      },
      subscribe: (request) => subscriptions.subscribe(socket as unknown as Socket, principal, request),
      unsubscribe: (id) => subscriptions.unsubscribe(socket as unknown as Socket, id),
      subscribeStats: (filter) => subscriptions.subscribeStats(socket as unknown as Socket, principal, filter),
      checksum: (id) => subscriptions.checksum(socket as unknown as Socket, id),
      ticket: (id) => this.#ticket(id, principal, socket.handshake.headers.host ?? ''),
      renew: (token) => this.#renew(socket, token),
    })
    this.#accounts.enter(socket as unknown as Socket, principal.id)
    this.#holders.add(socket as unknown as Socket, principal, principal.expiresAt)
    // A page that changes gives up its subscriptions and opens others in one go, and two messages for each moving bar.
    const ofOne = tokenBucket(MESSAGES_A_SECOND, MESSAGES_A_SECOND * 5)
    const allowed = (): boolean => ofOne() && this.#accounts.allowed(socket as unknown as Socket)
    socket.use(([event, ...args], next) => refuseUnknown(event, args, Object.keys(rules), allowed, next))
    for (const [event, rule] of Object.entries(rules)) {
      socket.on(
        event as keyof ClientToGateway,
        guard(rule, principal, this.#log, () =>
          this.#fleet.refusals.record({ by: principal.id, action: event, refused: 'FORBIDDEN' }),
        ),
      )
    }
    socket.on('disconnect', () => {
      subscriptions.leave(socket as unknown as Socket)
      this.#accounts.leave(socket as unknown as Socket)
    })
    const { runner } = this.#options
    socket.emit('welcome', {
      version: VERSION,
      serverTime: this.#options.database.clock.now().toISOString(),
      scopes: [...principal.scopes],
      ...(principal.queues === undefined ? {} : { queues: [...principal.queues] }),
      ...(principal.names === undefined ? {} : { names: [...principal.names] }),
      ...(principal.expiresAt === undefined ? {} : { expiresAt: principal.expiresAt.toISOString() }),
      ...(runner === undefined ? {} : { worker: runner.id }),
    })
  }

  /**
   * Lets a connection go on past the end of the session that opened it. It stays what it was let in with: what its key may is
   * looked at all the time.
   *
   * @throws {FleetError} `BAD_REQUEST` where no session opened it; `UNAUTHENTICATED`, also for a session of another key
   */
  async #renew(socket: GatewaySocket, token: string): Promise<RenewalAnswer> {
    const { principal } = socket.data
    if (principal.expiresAt === undefined) {
      throw new FleetError('BAD_REQUEST', 'A key opened this connection, and no session: there is nothing to renew')
    }
    const { id, expiresAt } = await this.#access.signIn(token, socket.handshake.address)
    if (id !== principal.id || expiresAt === undefined) {
      throw new FleetError('UNAUTHENTICATED', 'A connection goes on with a session of the key that opened it')
    }
    this.#holders.extend(socket as unknown as Socket, expiresAt)
    return { expiresAt: expiresAt.toISOString(), serverTime: this.#options.database.clock.now().toISOString() }
  }

  /** How a client that sees us under this host name reaches us. */
  #baseFor(host: string): string {
    const ours = this.#publicUrl !== undefined && new URL(this.#publicUrl).host === host
    return ours ? this.publicUrl : `http://${host}`
  }

  /** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `NOT_RUNNING` */
  async #ticket(id: unknown, principal: Principal, host: string): Promise<TicketAnswer> {
    const task = await this.#fleet.store.find(parseId(id))
    if (task === null) throw new FleetError('NOT_FOUND', 'There is no such task', { field: 'id' })
    requireReach(principal, task)
    if (task.status !== 'running')
      throw new FleetError('NOT_RUNNING', `This task is ${task.status}; only a running one has a socket`)
    const { token, expiresAt } = await this.#tickets.issue(
      { id: task._id.toHexString(), attempt: task.attempt },
      principal,
    )
    // An address that no worker has registered is not passed on: whoever can write to the database could lead browsers there.
    const known =
      task.publicUrl !== undefined && this.#access.knows(task.publicUrl, task._id.toHexString())
        ? { publicUrl: task.publicUrl }
        : {}
    return {
      ...known,
      relayUrl: `${this.#baseFor(host)}/relay/${task._id.toHexString()}`,
      token,
      expiresAt: expiresAt.toISOString(),
    }
  }
}

/** @throws {FleetError} `BAD_PUBLIC_URL` */
function checkPublicUrl(publicUrl: string | undefined, listen: ListenAddress): void {
  if (publicUrl === undefined) {
    if (!isWildcard(listen.host)) return
    throw new FleetError(
      'BAD_PUBLIC_URL',
      `${listen.host} stands for every address of this computer: say with --public-url which of them others are to use`,
    )
  }
  if (isBaseAddress(publicUrl) && !isWildcard(new URL(publicUrl).hostname.replace(/^\[|\]$/g, ''))) return
  throw new FleetError('BAD_PUBLIC_URL', `'${publicUrl}' is not an address such as http://worker-1.example:4100`)
}

function refuseUpgrade(connection: Duplex, { code, message }: FleetError): void {
  const body = JSON.stringify({ type: 'about:blank', status: 403, title: message, code })
  const head = `HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
  connection.on('error', () => undefined)
  connection.end(head + body)
}

/** The built monitor, or undefined where it isn't. */
function monitorFolder(): string | undefined {
  const folder = join(dirname(fileURLToPath(import.meta.resolve('@taskfleet/monitor-ui/package.json'))), 'dist')
  return existsSync(join(folder, 'index.html')) ? folder : undefined
}

function setPageHeaders(reply: { setHeader(name: string, value: string): unknown }, path: string): void {
  // Names of assets change with their content; all else is asked for anew, and answered with 304 while it is the same.
  const isAsset = path.startsWith(`assets${sep}`)
  reply.setHeader('cache-control', isAsset ? 'public, max-age=31536000, immutable' : 'no-cache')
  reply.setHeader('vary', 'accept-encoding')
  reply.setHeader(
    'content-security-policy',
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  )
  reply.setHeader('x-content-type-options', 'nosniff')
  reply.setHeader('referrer-policy', 'no-referrer')
}
