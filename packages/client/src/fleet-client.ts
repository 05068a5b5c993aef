import type {
  AttentionRows,
  CollectionName,
  FleetControl,
  FleetError,
  FleetOperations,
  FleetStats,
  HostTicketAnswer,
  QueryRequest,
  StatsAnswer,
  SubscribeAnswer,
  TicketAnswer,
  Welcome,
} from '@taskfleet/protocol'
import { controlOf } from '@taskfleet/protocol/internal'
import type {
  AttentionListener,
  ConnectionState,
  FleetApi,
  FleetClientOptions,
  FollowedTask,
  LiveAttentionHandle,
  LiveQuery,
  LiveStatsHandle,
  RefusedListener,
  RowsListener,
  TasksListeners,
  TasksQuery,
  TasksWatch,
  TaskWatch,
  WatchListeners,
} from './api.ts'
import { GatewayConnection, refusalOf, type StateListener } from './gateway-connection.ts'
import { HostPool } from './host-pool.ts'
import { LiveAttention } from './live-attention.ts'
import { LiveFigures } from './live-figures.ts'
import { LiveRows } from './live-rows.ts'
import type { Link, LiveSubscription } from './live-subscription.ts'
import { AGGREGATES, operationsOf, preparedRequest, STORES } from './operations.ts'
import { TaskFollower } from './task-follower.ts'
import { WATCHED_FIELDS, WatchedTasks } from './watched-tasks.ts'

/** Removing very many tasks takes minutes. */
const PRUNE_MS = 280_000
/** Any subscription. Messages are matched to subscriptions by name. */
type AnySubscription = Pick<LiveSubscription<never, never>, 'open' | 'close' | 'reconnected'> & {
  receive(message: { subscription: string }): void
}

/**
 * Every operation as a method: `client.tasks.cancel(id)`. Inputs that JSON would change are rejected before they are sent. Some
 * operations also have an older name: `client.cancel(…)` is `client.tasks.cancel(…)`.
 */
export interface FleetClient extends Omit<FleetOperations, 'audit'>, FleetControl {
  /** The audit log, or the entries of one task with `id`. `audit.list` does the same. */
  readonly audit: FleetOperations['audit']['list'] & FleetOperations['audit']
}

/** A client of a fleet for browsers and programs, without MongoDB. It uses a websocket, or long polling where those are blocked. */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the constructor assigns them all
export class FleetClient implements FleetApi {
  readonly #connection: GatewayConnection
  readonly #hosts: HostPool
  readonly #subscriptions = new Set<AnySubscription>()
  readonly #followers = new Set<TaskFollower>()

  constructor(options: FleetClientOptions = {}) {
    const send = (name: string, request: unknown): Promise<unknown> => this.#operation(name, request)
    for (const aggregate of AGGREGATES) Object.assign(this, { [aggregate]: operationsOf(aggregate, send) })
    const { list } = operationsOf('audit', send)
    Object.assign(this, controlOf(this), { audit: Object.assign(list.bind(undefined), { list }) })
    this.#connection = new GatewayConnection(options, {
      connected: () => {
        for (const subscription of this.#subscriptions) subscription.reconnected()
      },
      received: (message) => {
        for (const subscription of this.#subscriptions) subscription.receive(message)
      },
    })
    this.#hosts = new HostPool({
      reach: options.reach ?? 'direct',
      transports: () => this.#connection.transports,
      taskTicket: (id) => this.#connection.request<TicketAnswer>('taskTicket', { id }),
      hostTicket: (id) => this.#connection.request<HostTicketAnswer>('hostTicket', { id }),
      ownWorker: () => this.welcome?.worker,
      namespace: (name, token) => this.#connection.namespace(name, token),
    })
  }

  get state(): ConnectionState {
    return this.#connection.state
  }

  get welcome(): Welcome | undefined {
    return this.#connection.welcome
  }

  get clockOffset(): number {
    return this.#connection.clockOffset
  }

  /**
   * Resolves with the gateway's first message. `clockOffset` is known from then on.
   *
   * @throws {FleetError} `UNREACHABLE`, `BAD_HOST`, `BAD_ORIGIN` within 10 s; `CLOSED`, or the gateway's refusal
   */
  welcomed(): Promise<Welcome> {
    return this.#connection.welcomed()
  }

  onState(listener: StateListener): () => void {
    return this.#connection.onState(listener)
  }

  /**
   * Follows a query. Resolves with the first answer. The rows stay correct through lost connections.
   *
   * @param onRefused called when the key has lost the right to the query, which closes it
   * @throws {FleetError} the gateway's refusal, such as `BAD_FILTER`
   */
  async subscribe<N extends CollectionName = 'tasks'>(
    query: QueryRequest & { collection?: N },
    listener: RowsListener<N>,
    onRefused?: RefusedListener,
  ): Promise<LiveQuery<N>> {
    const ask = (resume: object): Promise<SubscribeAnswer> =>
      this.#connection.request('subscribeQuery', { ...query, ...resume })
    const link = this.#link(() => rows, onRefused)
    const rows: LiveRows<N> = new LiveRows<N>(ask, listener, link)
    await this.#opened(rows)
    await rows.first
    return rows
  }

  async subscribeStats(
    request: { filter?: Record<string, unknown> },
    listener: (stats: FleetStats) => void,
    onRefused?: RefusedListener,
  ): Promise<LiveStatsHandle> {
    const ask = (): Promise<StatsAnswer> => this.#connection.request('subscribeStats', request)
    const link = this.#link(() => figures, onRefused)
    const figures: LiveFigures = new LiveFigures(ask, listener, link)
    return this.#opened(figures)
  }

  async subscribeAttention(listener: AttentionListener, onRefused?: RefusedListener): Promise<LiveAttentionHandle> {
    const ask = (): Promise<AttentionRows> => this.#connection.request('subscribeAttention', {})
    const link = this.#link(() => attention, onRefused)
    const attention: LiveAttention = new LiveAttention(ask, listener, link)
    return this.#opened(attention)
  }

  #link(own: () => AnySubscription, onRefused: RefusedListener | undefined): Link {
    return {
      isLive: () => this.state === 'live',
      release: (subscription) => {
        if (this.state !== 'live') return
        this.#connection.request('unsubscribeQuery', { subscription }).catch(() => undefined)
      },
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

  /**
   * Watches one task until it has ended: at the host that runs it, and at its next host when it moves. All watched tasks of a host share one
   * connection.
   *
   * @throws {FleetError} the gateway's refusal, such as `BAD_ID`
   */
  async watchTask(id: string, listeners: WatchListeners): Promise<TaskWatch> {
    const follower = this.#follower(id, listeners)
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

  /**
   * Watches many tasks over one connection to each of their hosts. Ids are watched until `close`, through all their attempts. With a
   * query, the tasks that match it are watched, and those that no longer match are left.
   *
   * A hundred ids, or a query, count as one subscription of the connection. A host lets one connection watch 1,000 tasks.
   *
   * @throws {FleetError} the gateway's refusal, such as `BAD_ID`, `BAD_FILTER` or `TOO_MANY_SUBSCRIPTIONS`
   */
  async watchTasks(tasks: readonly string[] | TasksQuery, listeners: TasksListeners): Promise<TasksWatch> {
    const watched = new WatchedTasks(listeners, {
      follow: (id, own) => this.#follower(id, own),
      subscribe: (query, listener, refused) => this.subscribe(query, listener, refused),
    })
    await watched.open(tasks)
    return watched
  }

  /** Watches a task whose row the caller keeps current by `update`, so that it needs no query of its own. */
  followTask(id: string, listeners: WatchListeners): FollowedTask {
    return this.#follower(id, listeners)
  }

  #follower(id: string, listeners: WatchListeners): TaskFollower {
    const follower: TaskFollower = new TaskFollower(listeners, {
      follow: (attempt, listener, wants) => this.#hosts.follow(attempt, listener, wants),
      isOwnWorker: (worker) => worker === this.welcome?.worker,
      cancel: async (reason) => {
        await this.tasks.cancel({ id, ...(reason === undefined ? {} : { reason }) })
      },
      closed: () => this.#followers.delete(follower),
    })
    this.#followers.add(follower)
    return follower
  }

  /** A request that stores something has an `_id`, so it can be sent again when it was not answered. */
  async #operation(name: string, given: unknown): Promise<unknown> {
    const request = preparedRequest(name, given)
    const timeoutMs = name === 'retention.prune' ? PRUNE_MS : undefined
    const send = () => this.#connection.request<{ answer?: unknown }>('operation', { name, request }, timeoutMs)
    const sent = send().catch((error: unknown) => {
      if ((error as FleetError).code !== 'NO_ANSWER' || !STORES.has(name)) throw error
      return send()
    })
    return (await sent).answer
  }

  close(): void {
    for (const follower of this.#followers) follower.close()
    this.#hosts.close()
    this.#connection.close()
    for (const subscription of this.#subscriptions) void subscription.close()
    this.#subscriptions.clear()
  }
}
