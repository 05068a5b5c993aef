import { hostname } from 'node:os'
import type { SigningOptions } from '@taskfleet/core'
import { type FleetDatabase, parseSecrets, type TaskError, withoutOutages } from '@taskfleet/core/internal'
import type { ExtraRoutes, ListenAddress } from '@taskfleet/gateway'
import { type Duration, FleetError, type TaskRow } from '@taskfleet/protocol'
import { durationWithin, given, wholeNumber } from '@taskfleet/protocol/internal'
import { type Logger, pino } from 'pino'
import type { RecurringErrors } from './errors/error-notice.ts'
import { requireIsolation } from './isolate/isolation.ts'
import type { SlotRange } from './load/auto-slots.ts'
import type { LoadThresholds } from './load/thresholds.ts'
import type { TaskFactory } from './task-factory.ts'
import type { SecretSource } from './task-secrets.ts'

export interface TaskRunnerOptions {
  /** The database's address, or a connected database, which stays connected. */
  mongo: string | FleetDatabase
  /** The name of the database, if the address has none. */
  db?: string | undefined
  tasks: readonly TaskFactory[]
  queues?: readonly string[]
  /** How many tasks run at once at most; `auto` or a range follows memory and the event loop's delay. 4 by default. */
  concurrency?: number | 'auto' | SlotRange
  /**
   * How many tasks are claimed ahead of the slots. By default at most 100 ms of work, measured by handler, so that short tasks are
   * claimed and ended in groups and long ones are left to workers with a free slot. A number, 0 to 1,000, applies to all tasks.
   */
  prefetch?: number | 'auto'
  /** The most tasks of a queue that run at once on this worker. */
  queueConcurrency?: Record<string, number>
  /** The thresholds of the load gate. */
  thresholds?: LoadThresholds
  /** When and how recurring errors are reported. */
  recurringErrors?: RecurringErrors
  /** Where its gateway and task sockets listen. Without it the worker has none. */
  listen?: ListenAddress
  /** Its public address, if it differs from the address on which it listens. */
  publicUrl?: string
  /**
   * The secret that signs sessions and tickets, the same for all gateways and workers of a fleet: 32 bytes or more. May be several with
   * commas between them: the first signs, and all verify.
   */
  secret?: string | undefined
  /**
   * The secrets that inputs name by `{ secret: 'name' }`. Without it such a reference is a plain object.
   */
  secrets?: SecretSource | undefined
  /**
   * Whether it reads changes from a change stream of its own. By default it gets them from a gateway or another worker of the fleet that
   * listens, if there is one: each change stream makes each write of the server more expensive.
   */
  ownStream?: boolean
  /** The path below which its gateway is served, such as `/fleet`. A proxy may strip it or keep it. */
  basePath?: string
  /** Proxies whose `X-Forwarded-…` headers count: addresses, networks such as `10.0.0.0/8`, `loopback`. */
  trustProxy?: readonly string[]
  /** What people call the fleet, such as `prod`: the monitor shows it. 1 to 40 characters. */
  environment?: string
  /** Routes that other packages add to the REST API of its gateway, such as `downloadRoutes` of `@taskfleet/downloads/rest`. */
  routes?: ExtraRoutes
  /** The name shown to people; the host's name by default. */
  name?: string
  /** How long its lease is valid after a renewal, in milliseconds; 8,000 by default. */
  leaseMs?: number
  /** How often it renews its session, in milliseconds; a third of `leaseMs` by default, and at most. */
  heartbeatMs?: number
  /** The longest time between two queries for waiting tasks, in milliseconds. */
  pollMs?: number
  /** After how many tasks the database is queried again. */
  refillEvery?: number
  abortGrace?: Duration
  /** The keys whose tasks it trusts, and the key with which it signs what it stores; from the environment by default. */
  signing?: SigningOptions
  log?: Logger
}

export interface RunnerEvents {
  /** Nothing runs and nothing is due. */
  idle: [event: object]
  /** A task is due and can run here. Where very many wait, it may be emitted more than once for a task. */
  due: [event: { id: string; name: string }]
  claimed: [event: { task: TaskRow }]
  success: [event: { task: TaskRow; output: unknown }]
  /** The task has failed: no attempt is left. */
  fail: [event: { task: TaskRow; error: TaskError }]
  /** An attempt failed; the task will run again. */
  retry: [event: { task: TaskRow; error: TaskError; delayMs: number }]
  /** A lease was lost, or another worker's task was taken back. */
  lost: [event: { id: string; worker: string | undefined }]
  deadline: [event: { task: TaskRow }]
}

export type Emit = <Name extends keyof RunnerEvents>(event: Name, ...args: RunnerEvents[Name]) => void

/** The options of a runner, checked and with all defaults filled in. */
export type RunnerSettings = ReturnType<typeof settingsOf>

const LONGEST_GRACE_MS = 86_400_000

/** @throws {FleetError} `CONFIG_RANGE`, `BAD_DEFINITION`, `BAD_SECRET` */
export function settingsOf({
  tasks,
  name = hostname(),
  log = pino({ level: 'silent' }),
  ...options
}: TaskRunnerOptions) {
  const { queueConcurrency = {}, abortGrace = '10s' } = options
  parseSecrets(options.secret)
  const leaseMs = setting(options.leaseMs ?? 8_000, 'leaseMs', 500, 3_600_000)
  const third = Math.round(leaseMs / 3)
  for (const [queue, limit] of Object.entries(queueConcurrency)) setting(limit, `queueConcurrency.${queue}`, 1, 1_000)
  return {
    name,
    /** The database's address, if it was given as a text. */
    address: typeof options.mongo === 'string' ? options.mongo : undefined,
    /** The handlers by the names of their tasks. */
    factories: byName(tasks) as ReadonlyMap<string, TaskFactory>,
    queues: options.queues ?? ['default'],
    queueConcurrency,
    concurrency: options.concurrency ?? 4,
    thresholds: options.thresholds,
    recurringErrors: options.recurringErrors ?? {},
    listen: options.listen,
    reached: given({
      publicUrl: options.publicUrl,
      basePath: options.basePath,
      trustProxy: options.trustProxy,
      environment: options.environment,
      routes: options.routes,
    }),
    secret: options.secret,
    ownStream: options.ownStream ?? false,
    secrets: options.secrets,
    leaseMs,
    heartbeatMs: Math.min(third, setting(options.heartbeatMs ?? third, 'heartbeatMs', 50, 3_600_000)),
    signing: options.signing,
    prefetch: prefetchOf(options.prefetch),
    pollMs: setting(options.pollMs ?? 30_000, 'pollMs', 10, 86_400_000),
    refillEvery: setting(options.refillEvery ?? 1_000, 'refillEvery', 1, 1_000_000),
    abortGraceMs: durationWithin(abortGrace, 'abortGrace', { least: 0, most: LONGEST_GRACE_MS, code: 'CONFIG_RANGE' }),
    log: withoutOutages(log.child({ worker: name })),
  }
}

const prefetchOf = (asked: TaskRunnerOptions['prefetch'] = 'auto'): number | 'auto' =>
  asked === 'auto' ? asked : setting(asked, 'prefetch', 0, 1_000)

function byName(tasks: readonly TaskFactory[]): Map<string, TaskFactory> {
  const factories = new Map<string, TaskFactory>()
  for (const factory of tasks) {
    if (factories.has(factory.name)) throw new FleetError('BAD_DEFINITION', `Two tasks are named '${factory.name}'`)
    if (factory.isolate !== undefined) requireIsolation(factory)
    factories.set(factory.name, factory)
  }
  return factories
}

const setting = (value: unknown, field: string, least: number, most: number): number =>
  wholeNumber(value, field, { least, most, code: 'CONFIG_RANGE' })
