import { existsSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { asError, Fleet, LOCAL, type Principal, type TaskDocument } from '@taskfleet/core'
import {
  AttentionCommands,
  BulkRuns,
  type Feed,
  type FleetDatabase,
  LiveQueries,
  parseId,
  requireReach,
  Service,
  WEAK_SECRET,
  withoutOutages,
} from '@taskfleet/core/internal'
import {
  type ClientToGateway,
  FleetError,
  type GatewayToClient,
  type HostTicketAnswer,
  type RenewalAnswer,
  type TicketAnswer,
  VERSION,
} from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { type Namespace, Server, type Socket } from 'socket.io'
import { Access } from './access.ts'
import { type ACCOUNT_LIMITS, Accounts } from './accounts.ts'
import type { Attempts } from './attempts.ts'
import { AttentionNotices, type AttentionWebhook, checkWebhook } from './attention-webhook.ts'
import { Backlog, terminate } from './backlog.ts'
import { Feeder } from './feeder.ts'
import { FileDoor } from './files/file-door.ts'
import { FileTokens } from './files/file-tokens.ts'
import { LocalFiles } from './files/local-files.ts'
import { guard, tokenBucket } from './guard.ts'
import { serveHostSockets } from './host-socket.ts'
import { KeyHolders } from './key-holders.ts'
import { serveMetrics } from './metrics/serve-metrics.ts'
import { MonitorPages } from './monitor-pages.ts'
import { authorityOf, isAt, isGatewayAddress, isLoopback, isWildcard, nameOf } from './names.ts'
import { portInUse } from './port-in-use.ts'
import { basePathOf, isBelow, Proxies, withoutBase } from './proxies.ts'
import { ReadTurns } from './read-turns.ts'
import { serveRelay } from './relay.ts'
import { type RateLimit, registerRest, restServerOptions } from './rest/register-rest.ts'
import type { ExtraRoutes } from './rest/route.ts'
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
  /** The worker of this process, whose tasks have their sockets here. */
  runner?: Attempts
  /** Where it listens. Without it, the gateway answers requests that are passed to `handle` and `upgrade`. */
  listen?: ListenAddress
  /** Its address for others, if that is not where it listens. */
  publicUrl?: string
  /** Signs sessions and tickets: the same for all gateways and workers of a fleet. With several, separated by commas, the first signs. */
  secret?: string | undefined
  /** The path below which it is served, such as `/fleet`. A proxy may strip it or keep it. */
  basePath?: string
  /** Proxies whose `X-Forwarded-…` headers count: addresses, networks, `loopback`. */
  trustProxy?: readonly string[]
  /** What people call the fleet, such as `prod`: the monitor shows it. 1 to 40 characters. */
  environment?: string
  /** Where people are notified when something urgent begins and ends. One of the gateways with this option does it. */
  attentionWebhook?: AttentionWebhook
  /** Routes that other packages add to the REST API. */
  routes?: ExtraRoutes
  /** How long a live query stays open without subscribers, in milliseconds. Clients that reconnect in time miss nothing. */
  lingerMs?: number
  /** Whether a client does not read. By default the size of its backlog decides. For tests. */
  isBehind?: (socket: Socket) => boolean
  /** How often the keys of open connections are checked, in milliseconds. */
  keyCheckMs?: number
  /** The REST API's limit for each key. */
  rateLimit?: RateLimit
  /** The socket server's limits for each key and each address. */
  accountLimits?: typeof ACCOUNT_LIMITS
  log: Logger
}

/** How much a gateway holds at the moment. */
export interface GatewayLoad {
  connections: number
  namespaces: number
  /** Live queries with subscribers. */
  rooms: number
  /** The subscriptions of all connections. */
  subscriptions: number
  /** Live queries in memory, including those that are kept for clients that reconnect. */
  views: number
}

type GatewaySocket = Socket<
  ClientToGateway,
  GatewayToClient,
  Record<string, never>,
  { principal: Principal & { expiresAt?: Date } }
>

/** How long a check of health may take. */
const HEALTH_MS = 900
/** How long a gateway that stops waits until its last answers are sent. */
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
  readonly #proxies: Proxies
  readonly #base: string
  readonly #backlog: Backlog
  #subscriptions: Subscriptions | undefined
  #feeder: Feeder | undefined
  #io: Server | undefined
  #url: string | undefined
  #publicUrl: string | undefined
  #secretIds: readonly string[] = []

  /** @throws {FleetError} `BAD_SECRET`, `BAD_BASE_PATH`, `BAD_TRUST_PROXY`, `CONFIG_RANGE`; `BAD_REQUEST` for an invalid `attentionWebhook` */
  constructor(options: GatewayOptions) {
    super()
    if (options.attentionWebhook !== undefined) checkWebhook(options.attentionWebhook)
    this.#options = options
    this.#proxies = new Proxies(options.trustProxy)
    checkEnvironment(options.environment)
    this.#base = basePathOf(options.basePath)
    this.#log = withoutOutages(options.log.child({ part: 'gateway' }))
    this.#backlog = new Backlog(this.#log, options.isBehind)
    this.#fleet = new Fleet(options.database, { log: this.#log })
    this.#queries = new LiveQueries(options.database, options.feed, {
      log: this.#log,
      ...given({ lingerMs: options.lingerMs }),
    })
    this.#accounts = new Accounts(options.accountLimits)
    this.#access = new Access(options.database, options.feed, options.secret)
    this.#tickets = new Tickets(this.#access.signing, () => options.database.clock.now())
    this.#holders = new KeyHolders(this.#access, {
      log: this.#log,
      everyMs: options.keyCheckMs ?? 900,
      now: () => options.database.clock.now(),
    })
    this.#http = fastify({
      loggerInstance: this.#log.child({}, { level: 'warn' }) as FastifyBaseLogger,
      forceCloseConnections: true,
      trustProxy: this.#proxies.trust,
      rewriteUrl: ({ url = '/' }) => withoutBase(url, this.#base),
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

  /** The ids of its secrets, once started. Processes compare them to find out whether they have the same secrets. */
  get secretIds(): readonly string[] {
    return this.#secretIds
  }

  get load(): GatewayLoad {
    return {
      connections: (this.#io?.engine.clientsCount ?? 0) - (this.#feeder?.workers ?? 0),
      namespaces: this.#io?._nsps.size ?? 0,
      rooms: this.#subscriptions?.size ?? 0,
      subscriptions: this.#subscriptions?.shares ?? 0,
      views: this.#queries.size,
    }
  }

  /** @throws {FleetError} `INSECURE_BIND`, `BAD_PUBLIC_URL`, `EADDRINUSE`, `EADDRNOTAVAIL` */
  protected override async onStart(): Promise<void> {
    const { listen, trustProxy = [] } = this.#options
    this.defer(() => this.#closeHttp())
    this.defer(() => this.#queries.stop())
    await this.use(this.#access)
    const locked = await this.#access.locked()
    if (!locked && listen !== undefined && !isLoopback(listen.host)) {
      throw new FleetError(
        'INSECURE_BIND',
        `Without a key a gateway listens on this computer only, and ${listen.host} can be reached from others: make a key with 'taskfleet keys create' first`,
      )
    }
    const publicUrl = checkedPublicUrl(this.#options.publicUrl, this.#base, listen)
    if (!locked) this.#log.warn('no key is configured: everybody on this computer may read and control this fleet')
    if (!locked && trustProxy.length > 0) this.#log.warn('no key is configured: requests from elsewhere are refused')
    this.#secretIds = await this.#access.signing.ids()
    if (this.#access.signing.weak) this.#log.warn({ code: 'WEAK_SECRET' }, WEAK_SECRET)
    this.#publicUrl = publicUrl
    await this.#serve()
    this.#openSockets()
    this.#takeOffBasePath()
    if (listen === undefined) await this.#http.ready()
    else await this.#listen(listen)
    await this.use(this.#holders)
    await this.use(this.#feeder!)
    await this.use(new BulkRuns({ fleet: this.#fleet, log: this.#log }))
    await this.#watchFleet()
  }

  async #watchFleet(): Promise<void> {
    const { attentionWebhook: webhook, database } = this.#options
    const source = new AttentionCommands(this.#fleet, LOCAL)
    await this.use(waitingSampler(this.#fleet.waiting, source, this.#log))
    if (webhook === undefined) return
    const gateway = this.#publicUrl ?? this.#base
    await this.use(new AttentionNotices({ webhook, database, queries: this.#queries, source, gateway, log: this.#log }))
  }

  /** @throws {FleetError} `EADDRINUSE`, `EADDRNOTAVAIL` */
  async #listen(listen: ListenAddress): Promise<void> {
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
    const { port } = this.#http.server.address() as AddressInfo
    const name = listen.host.includes(':') ? `[${listen.host}]` : listen.host
    this.#url = `http://${name}:${port}${this.#base}`
    this.#publicUrl ??= this.#url
  }

  /** Answers a request that another server received. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    this.#http.server.emit('request', request, response)
  }

  /** Answers an upgrade that another server received. */
  upgrade(request: IncomingMessage, connection: Duplex, head: Buffer): void {
    this.#http.server.emit('upgrade', request, connection, head)
  }

  /** For socket.io, which gets requests before the router does. A proxy may have stripped the path already. */
  #takeOffBasePath(): void {
    if (this.#base === '') return
    const takeOff = (request: IncomingMessage): void => {
      request.url = withoutBase(request.url ?? '/', this.#base)
    }
    this.#http.server.prependListener('request', takeOff)
    this.#http.server.prependListener('upgrade', takeOff)
  }

  async #closeHttp(): Promise<void> {
    // A client that does not read its answer must not delay the stop.
    const { clients = {} } = (this.#io?.engine ?? {}) as { clients?: Record<string, Socket['conn']> }
    const connections = Object.values(clients)
    const cut = setTimeout(() => {
      this.#http.server.closeAllConnections()
      for (const connection of connections) terminate(connection)
    }, LAST_ANSWERS_MS)
    await this.#io?.close()
    await this.#http.close()
    clearTimeout(cut)
  }

  async #serve(): Promise<void> {
    this.#http.addHook('onRequest', async (request, reply) => {
      // For `localhost`, fastify has a second server for the other address family, and socket.io is not attached to that.
      if (isBelow(request.raw.url, '/socket.io')) {
        reply.hijack()
        this.#io?.engine.handleRequest(request.raw as never, reply.raw)
        return
      }
      if (this.#isProbe(request.raw)) return
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
        await this.#answeredByDatabase()
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
      files: this.#serveFiles(),
      fleet: this.#fleet,
      queries: this.#queries,
      access: this.#access,
      log: this.#log,
      rateLimit: this.#options.rateLimit,
      routes: this.#options.routes,
      basePath: this.#base,
    })
    const root = monitorFolder()
    if (root === undefined) {
      this.#log.warn('the monitor is not built; run `pnpm build`')
      return
    }
    const pages = new MonitorPages(root)
    await pages.serve(this.#http, ({ raw }) => this.#proxies.viewOf(raw).prefix ?? this.#base)
  }

  #serveFiles(): FileDoor {
    const { runner: attempts, database } = this.#options
    const tokens = new FileTokens(this.#access.signing, () => database.clock.now())
    const deps = { fleet: this.#fleet, access: this.#access, tokens, attempts, log: this.#log }
    const local = new LocalFiles(deps)
    if (attempts?.file !== undefined) local.serve(this.#http)
    return new FileDoor({ ...deps, local, accounts: this.#accounts })
  }

  /** A command would wait for a primary as long as an election takes. @throws {FleetError} `NO_DATABASE` */
  async #answeredByDatabase(): Promise<void> {
    const { database } = this.#options
    if (database.availability.awayMs > 0) throw new FleetError('NO_DATABASE', 'The database is away')
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new FleetError('NO_DATABASE', 'The database is slow')), HEALTH_MS)
    })
    try {
      await Promise.race([database.readClock(), late])
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * Health checks may use any name. With `--public-url`, only addresses and names of one word count, because no name server elsewhere
   * can assign those.
   */
  #isProbe({ url, headers }: IncomingMessage): boolean {
    if (!/^\/health\/(live|ready)(\?|$)/.test(url ?? '')) return false
    if (this.#options.publicUrl === undefined) return true
    return /^[^.]+$/.test(authorityOf(headers.host ?? '')?.name ?? '')
  }

  /** Its own addresses. */
  get #own(): string[] {
    const own = [this.#publicUrl, this.#url].filter((address) => address !== undefined)
    return own.length > 0 ? [...new Set(own)] : ['http://localhost']
  }

  #checkRequest(request: IncomingMessage): void {
    const { host, scheme } = this.#proxies.viewOf(request)
    this.#access.checkRequest({ host, scheme, origin: request.headers.origin }, this.#own)
  }

  #openSockets(): void {
    const io = new Server<ClientToGateway, GatewayToClient>(this.#http.server, {
      // Long polling is for clients behind a proxy without websockets.
      transports: ['polling', 'websocket'],
      // Pages of the fleet's other gateways may connect here when their own is gone. `allowRequest` rejects all others.
      cors: { origin: true },
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
          const { code, message } = error as FleetError
          decide(`${code}: ${message}`, false)
        }
      },
    })
    this.#io = io as unknown as Server
    // Wrong keys are counted by the address of the client, not of the proxy.
    io.engine.on('connection', (raw: { request: IncomingMessage; remoteAddress: string }) => {
      raw.remoteAddress = this.#proxies.addressOf(raw.request)
    })
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
      backlog: this.#backlog,
      accounts: this.#accounts,
      ownUrl: () => this.#url,
    }
    serveTaskSockets(this.#io, deps)
    serveRelay(this.#io, deps)
    serveHostSockets(this.#io, deps)
    this.#feeder = new Feeder(this.#io, {
      fleet: this.#fleet,
      feed: this.#options.feed,
      keys: this.#access.signing,
      clock: this.#options.database.clock,
      backlog: this.#backlog,
      log: this.#log,
    })
    const namespace = io.of('/') as unknown as Namespace
    const subscriptions = new Subscriptions(this.#queries, namespace, {
      accounts: this.#accounts,
      backlog: this.#backlog,
      attention: (principal) => new AttentionCommands(this.#fleet, principal),
      log: this.#log,
    })
    this.#subscriptions = subscriptions
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
      subscribeAttention: () => subscriptions.subscribeAttention(socket as unknown as Socket, principal),
      checksum: (id) => subscriptions.checksum(socket as unknown as Socket, id),
      ticket: (id) => this.#ticket(id, principal, socket.request),
      hostTicket: (id) => this.#hostTicket(id, principal, socket.request),
      renew: (token) => this.#renew(socket, token),
    })
    this.#accounts.enter(socket as unknown as Socket, principal.id)
    this.#holders.add(socket as unknown as Socket, principal, principal.expiresAt)
    const turns = new ReadTurns(socket as unknown as Socket, { backlog: this.#backlog, accounts: this.#accounts })
    // A page change unsubscribes and subscribes many queries at once, and sends two messages for each progress bar.
    const ofOne = tokenBucket(MESSAGES_A_SECOND, MESSAGES_A_SECOND * 5)
    const allowed = (): boolean => ofOne() && this.#accounts.allowed(socket as unknown as Socket)
    socket.use(([event, ...args], next) => refuseUnknown(event, args, Object.keys(rules), allowed, next))
    for (const [event, rule] of Object.entries(rules)) {
      socket.on(
        event as keyof ClientToGateway,
        guard(
          rule,
          principal,
          this.#log,
          () => this.#fleet.refusals.record({ by: principal.id, action: event, refused: 'FORBIDDEN' }),
          turns,
        ),
      )
    }
    socket.on('disconnect', () => {
      subscriptions.leave(socket as unknown as Socket)
      this.#accounts.leave(socket as unknown as Socket)
    })
    const { runner, environment } = this.#options
    socket.emit('welcome', {
      version: VERSION,
      serverTime: this.#options.database.clock.now().toISOString(),
      ...given({ environment }),
      ...(this.#publicUrl === undefined ? {} : { gateways: this.#access.gateways(this.#publicUrl) }),
      scopes: [...principal.scopes],
      ...(principal.queues === undefined ? {} : { queues: [...principal.queues] }),
      ...(principal.names === undefined ? {} : { names: [...principal.names] }),
      ...(principal.expiresAt === undefined ? {} : { expiresAt: principal.expiresAt.toISOString() }),
      ...(runner === undefined ? {} : { worker: runner.id }),
    })
  }

  /**
   * Extends a connection beyond the end of the session that opened it. Its permissions stay as they were: the permissions of its key are
   * checked all the time.
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

  /** This gateway's address as the client of a request knows it. */
  #baseFor(request: IncomingMessage): string {
    const { host = '', scheme, prefix = this.#base } = this.#proxies.viewOf(request)
    const authority = authorityOf(host)
    if (scheme === undefined && authority !== undefined && isAt(this.#publicUrl ?? '', authority)) return this.publicUrl
    return `${scheme ?? 'http'}://${host}${prefix}`
  }

  /** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `NOT_RUNNING`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
  async #runningTask(id: unknown, principal: Principal): Promise<TaskDocument> {
    const task = await this.#fleet.store.find(parseId(id))
    if (task === null) throw new FleetError('NOT_FOUND', 'There is no such task', { field: 'id' })
    requireReach(principal, task)
    if (task.status === 'running') return task
    throw new FleetError('NOT_RUNNING', `This task is ${task.status}; only a running one has a socket`)
  }

  /** A token for a host, and its address: only for a task of it that the key may read. @throws {FleetError} as `#runningTask` */
  async #hostTicket(id: unknown, principal: Principal, request: IncomingMessage): Promise<HostTicketAnswer> {
    const { worker } = await this.#runningTask(id, principal)
    if (worker === undefined) throw new FleetError('NOT_RUNNING', 'This task has no worker')
    const { token, expiresAt } = await this.#tickets.issueForHost(worker, principal)
    const address = this.#access.addressOf(worker)
    return {
      worker,
      ...(address === undefined ? {} : { url: `${address}/hosts/${worker}` }),
      relayUrl: `${this.#baseFor(request)}/relay/hosts/${worker}`,
      token,
      expiresAt: expiresAt.toISOString(),
    }
  }

  /** @throws {FleetError} as `#runningTask` */
  async #ticket(id: unknown, principal: Principal, request: IncomingMessage): Promise<TicketAnswer> {
    const task = await this.#runningTask(id, principal)
    const { token, expiresAt } = await this.#tickets.issue(
      { id: task._id.toHexString(), attempt: task.attempt },
      principal,
    )
    // Only addresses that a worker has registered are passed on. Otherwise a writer of the database could send browsers anywhere.
    const known =
      task.publicUrl !== undefined && this.#access.knows(task.publicUrl, task._id.toHexString())
        ? { publicUrl: task.publicUrl }
        : {}
    return {
      ...known,
      relayUrl: `${this.#baseFor(request)}/relay/${task._id.toHexString()}`,
      token,
      expiresAt: expiresAt.toISOString(),
    }
  }
}

/**
 * The public address with the base path, which may be given with it or without.
 *
 * @throws {FleetError} `BAD_PUBLIC_URL`
 */
function checkedPublicUrl(given: string | undefined, base: string, listen?: ListenAddress): string | undefined {
  if (given === undefined) {
    if (listen === undefined || !isWildcard(listen.host)) return undefined
    throw new FleetError(
      'BAD_PUBLIC_URL',
      `${listen.host} stands for every address of this computer: say with --public-url which of them others are to use`,
    )
  }
  const wrong = `'${given}' is not an address such as http://worker-1.example:4100`
  if (!isGatewayAddress(given) || isWildcard(nameOf(new URL(given)))) throw new FleetError('BAD_PUBLIC_URL', wrong)
  const { origin, pathname } = new URL(given)
  const path = pathname.replace(/\/$/, '')
  if (path === '' || path === base) return `${origin}${base}`
  throw new FleetError('BAD_PUBLIC_URL', `${wrong}: give the path ${path} with --base-path`)
}

import { waitingSampler } from './waiting-sampler.ts'

const LONGEST_ENVIRONMENT = 40

/** @throws {FleetError} `CONFIG_RANGE` */
function checkEnvironment(name: string | undefined): void {
  if (name === undefined || (name.trim() !== '' && name.length <= LONGEST_ENVIRONMENT)) return
  throw new FleetError('CONFIG_RANGE', `environment must have 1 to ${LONGEST_ENVIRONMENT} characters`, {
    field: 'environment',
  })
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
