import { asError, type Fleet, type TaskDocument, type WorkerDocument } from '@taskfleet/core'
import { type Change, type Feed, isSilent, type LiveQueries, type StatsWatch } from '@taskfleet/core/internal'
import { type FleetStats, STATUSES, type TaskStatus, VERSION } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { GatewayLoad } from '../gateway.ts'
import { BoundedLabels } from './bounded-labels.ts'
import { TaskFlow } from './task-flow.ts'

export interface FleetMetricsDeps {
  fleet: Fleet
  feed: Feed
  queries: LiveQueries
  load: () => GatewayLoad
  log: Logger
}

/** How many queues, task names and workers have series of their own. The others share those of `other`. */
const MOST_NAMES = 100
const SECONDS = [0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400]
const WORKER_STATES = ['running', 'draining', 'dead'] as const

/**
 * The metrics of a fleet for Prometheus. Counts of tasks come from statistics that follow the change feed, so a scrape does not query
 * them. Workers come from their own small collection, and what needs somebody from a few queries. Counters start at the first scrape.
 */
export class FleetMetrics {
  readonly #deps: FleetMetricsDeps
  readonly #registry = new Registry()
  readonly #queues = new BoundedLabels(MOST_NAMES)
  readonly #names = new BoundedLabels(MOST_NAMES)
  readonly #workerNames = new BoundedLabels(MOST_NAMES)
  #stats: StatsWatch | undefined
  #unsubscribe: (() => void) | undefined

  readonly #tasks = this.#gauge('taskfleet_tasks', 'Tasks by status and queue', ['status', 'queue'])
  readonly #rates = this.#gauge('taskfleet_task_rate', 'Tasks a second over the last minute', ['step'])
  readonly #enqueued = this.#counter('taskfleet_tasks_enqueued_total', 'Tasks that were stored', ['queue'])
  readonly #claimed = this.#counter('taskfleet_tasks_claimed_total', 'Attempts that were started', ['queue'])
  readonly #ended = this.#counter('taskfleet_tasks_ended_total', 'Tasks that have ended', ['status', 'queue'])
  readonly #wait = this.#histogram('taskfleet_task_wait_seconds', 'From when a task was due to its claim', 'queue')
  readonly #run = this.#histogram('taskfleet_task_run_seconds', 'From the last claim of a task to its end', 'name')
  readonly #workers = this.#gauge('taskfleet_workers', 'Worker processes by state', ['state'])
  readonly #slots = this.#gauge('taskfleet_worker_slots', 'How many tasks a worker can run at once', ['worker'])
  readonly #running = this.#gauge('taskfleet_worker_running', 'Tasks that a worker runs', ['worker'])
  readonly #cpu = this.#gauge('taskfleet_worker_cpu_cores', 'Processor cores that a worker uses', ['worker'])
  readonly #rss = this.#gauge('taskfleet_worker_resident_memory_bytes', 'Memory of a worker', ['worker'])
  readonly #delay = this.#gauge('taskfleet_worker_event_loop_delay_seconds', "Delay of a worker's event loop", [
    'worker',
  ])
  readonly #gate = this.#gauge('taskfleet_worker_gate_open', 'Whether the load gate lets tasks through: 1 or 0', [
    'worker',
  ])
  readonly #connections = this.#gauge('taskfleet_gateway_connections', 'Clients that are connected')
  readonly #subscriptions = this.#gauge('taskfleet_gateway_subscriptions', 'Subscriptions of those clients')
  readonly #views = this.#gauge('taskfleet_gateway_views', 'Live queries and statistics that are kept in memory')
  readonly #namespaces = this.#gauge('taskfleet_gateway_namespaces', 'Namespaces of the socket server')
  readonly #lag = this.#gauge('taskfleet_feed_lag_seconds', 'Time until a test write arrived in the change feed')
  readonly #audits = this.#counter('taskfleet_view_audits_total', 'Comparisons of a live query with the database')
  readonly #mismatches = this.#counter('taskfleet_view_mismatches_total', 'Live queries that had to be corrected')

  readonly #attention = this.#gauge('taskfleet_attention', 'What needs somebody, by kind and urgency', [
    'kind',
    'urgency',
  ])
  readonly #setAside = this.#gauge('taskfleet_documents_set_aside', 'Invalid documents by collection', ['collection'])

  constructor(deps: FleetMetricsDeps) {
    this.#deps = deps
    collectDefaultMetrics({ register: this.#registry })
    this.#gauge('taskfleet_build_info', 'The running version, as a label', ['version']).set({ version: VERSION }, 1)
  }

  /** Begins to count. */
  async open(): Promise<void> {
    const { feed, queries, fleet } = this.#deps
    const flow = new TaskFlow(fleet.database.clock.now(), {
      enqueued: ({ queue }) => this.#enqueued.inc({ queue: this.#queues.label(queue) }),
      claimed: (task, count) => this.#onClaimed(task, count),
      ended: (task) => this.#onEnded(task),
    })
    const isReadable = ({ collection, doc }: Change): boolean =>
      collection !== 'tasks' || doc === null || fleet.gate.isReadable('tasks', doc)
    this.#unsubscribe = feed.subscribe({
      change: (change: Change) => {
        if (isReadable(change)) flow.change(change)
      },
      lost: () => undefined,
    })
    this.#stats = await queries.watchStats({}, () => undefined)
  }

  close(): void {
    this.#unsubscribe?.()
    this.#stats?.close()
    this.#registry.clear()
  }

  /** In Prometheus' text format, with its content type. */
  async read(): Promise<{ text: string; contentType: string }> {
    const { fleet, feed, queries, load } = this.#deps
    if (this.#stats !== undefined) this.#setTasks(this.#stats.live.stats)
    this.#setWorkers(await fleet.workers.list(), fleet.database.clock.now())
    this.#setAside.reset()
    for (const [collection, count] of Object.entries(await fleet.gate.setAside.count())) {
      this.#setAside.set({ collection }, count)
    }
    await this.#setAttention()
    const { connections, subscriptions, views, namespaces } = load()
    this.#connections.set(connections)
    this.#subscriptions.set(subscriptions)
    this.#views.set(views)
    this.#namespaces.set(namespaces)
    this.#lag.set(feed.lagMs / 1_000)
    raiseTo(this.#audits, queries.audited)
    raiseTo(this.#mismatches, queries.mended)
    return { text: await this.#registry.metrics(), contentType: this.#registry.contentType }
  }

  /** Without figures if the database is too slow: the other metrics must not fail with them. */
  async #setAttention(): Promise<void> {
    const { fleet, log } = this.#deps
    this.#attention.reset()
    try {
      for (const { kind, urgency } of await fleet.as().attention.list()) this.#attention.inc({ kind, urgency })
    } catch (error) {
      log.warn({ err: asError(error) }, 'what needs somebody could not be computed')
    }
  }

  #setTasks({ byStatus, byQueue, rates }: FleetStats): void {
    this.#tasks.reset()
    const counted = new Map<TaskStatus, number>()
    for (const [queue, counts] of Object.entries(byQueue)) {
      for (const status of STATUSES) {
        this.#tasks.inc({ status, queue: this.#queues.label(queue) }, counts[status] ?? 0)
        counted.set(status, (counted.get(status) ?? 0) + (counts[status] ?? 0))
      }
    }
    if (counted.size === 0)
      for (const status of STATUSES) this.#tasks.set({ status, queue: 'default' }, byStatus[status])
    for (const [step, rate] of Object.entries(rates)) this.#rates.set({ step }, rate)
  }

  #setWorkers(all: readonly WorkerDocument[], now: Date): void {
    const perWorker = [this.#slots, this.#running, this.#cpu, this.#rss, this.#delay, this.#gate]
    for (const gauge of [this.#workers, ...perWorker]) gauge.reset()
    for (const state of WORKER_STATES) this.#workers.set({ state }, 0)
    for (const document of all) {
      const { role, state, name, slots, running, load, gate } = document
      if (role !== 'worker' || state === 'stopped') continue
      const dead = state === 'dead' || isSilent(document, now)
      this.#workers.inc({ state: dead ? 'dead' : state })
      if (dead) continue
      // Workers of one name add up.
      const worker = this.#workerNames.label(name)
      this.#slots.inc({ worker }, slots)
      this.#running.inc({ worker }, running)
      this.#cpu.inc({ worker }, load.cpu)
      this.#rss.inc({ worker }, load.rss)
      this.#delay.inc({ worker }, load.eventLoopDelayMs / 1_000)
      this.#gate.inc({ worker }, gate === undefined || gate.open ? 1 : 0)
    }
  }

  #onClaimed({ queue, status, claimedAt, runAt, createdAt }: TaskDocument, count: number): void {
    this.#claimed.inc({ queue: this.#queues.label(queue) }, count)
    // A task that waits again has another date.
    if (status !== 'running' || !(claimedAt instanceof Date)) return
    const due = Math.max(runAt.getTime(), createdAt.getTime())
    this.#wait.observe({ queue: this.#queues.label(queue) }, Math.max(0, claimedAt.getTime() - due) / 1_000)
  }

  #onEnded({ queue, name, status, claimedAt, finishedAt }: TaskDocument): void {
    this.#ended.inc({ status, queue: this.#queues.label(queue) })
    if (!(claimedAt instanceof Date && finishedAt instanceof Date)) return
    this.#run.observe(
      { name: this.#names.label(name) },
      Math.max(0, finishedAt.getTime() - claimedAt.getTime()) / 1_000,
    )
  }

  #gauge<L extends string = never>(name: string, help: string, labelNames: L[] = []): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] })
  }

  #counter<L extends string = never>(name: string, help: string, labelNames: L[] = []): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] })
  }

  #histogram<L extends string>(name: string, help: string, label: L): Histogram<L> {
    return new Histogram({ name, help, labelNames: [label], buckets: SECONDS, registers: [this.#registry] })
  }
}

/** Counters kept elsewhere. */
function raiseTo(counter: Counter, total: number): void {
  counter.reset()
  counter.inc(total)
}
