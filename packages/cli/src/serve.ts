import { setFlagsFromString } from 'node:v8'
import type { SigningMode } from '@taskfleet/core'
import { signingFromEnv } from '@taskfleet/core/internal'
import type { ExtraRoutes, ListenAddress } from '@taskfleet/gateway'
import { GatewayHost } from '@taskfleet/gateway/host'
import { type Duration, FleetError, milliseconds, parseJson } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { type LoadThresholds, TaskRunner } from '@taskfleet/worker'
import {
  AFTER_GRACE_MS,
  fullThresholds,
  type RecurringErrors,
  type SlotRange,
  type StopOptions,
} from '@taskfleet/worker/internal'
import { databaseOf } from './address.ts'
import { ParentLink, parentProcess } from './ipc.ts'
import { loadTasks } from './load-tasks.ts'
import { makeLog, type ServedQueues } from './options.ts'
import { parentGone } from './parent-gone.ts'
import { type SecretOptions, secretOf } from './secret.ts'
import { type StopTimes, serveUntilStopped } from './serve-until-stopped.ts'
import { secretsOfTasks } from './task-secrets.ts'
import { UnownedErrors } from './unowned-errors.ts'

/** A gateway runs no tasks. */
const STOP_TIMEOUT = '25s'
/**
 * A gateway reads many rows and drops them soon. By default V8 lets the heap double before they are collected: 120 MB more for
 * 20 queries that are refused as too big. With this it is 40 MB.
 */
const HEAP_GROWTH = '--heap-growing-percent=40'

/** `POST /downloads`. It is loaded with the server. */
const downloadRoutes: ExtraRoutes = async () => (await import('@taskfleet/downloads/rest')).downloadRoutes()

interface ServeCommand extends SecretOptions {
  publicUrl?: string
  basePath?: string
  trustProxy?: string[]
  environment?: string
  name?: string
  stopWithParent?: boolean
}

export interface WorkerCommand extends ServeCommand {
  tasks: string
  queues: ServedQueues
  secretsDir?: string
  signing: SigningMode
  concurrency: number | 'auto' | SlotRange
  prefetch: number | 'auto'
  gate?: string
  listen?: ListenAddress
  lease: number
  grace: Duration
  stopTimeout?: Duration
  errorWebhook?: string
  errorThreshold?: number
  errorPeriod?: Duration
  ipc?: boolean
}

/** `taskfleet worker`: runs until it gets a signal. */
export async function serveWorker(options: WorkerCommand): Promise<number> {
  const orphaned = options.stopWithParent === true ? parentGone() : undefined
  const parent = options.ipc === true ? parentProcess() : undefined
  const { listen, publicUrl, basePath, trustProxy, environment, name, gate } = options
  const recurringErrors = recurringErrorsOf(options)
  const thresholds = gate === undefined ? undefined : thresholdsOf(gate)
  const { uri: mongo, name: db } = databaseOf(options)
  const secret = secretOf(options)
  const tasks = await loadTasks(options.tasks)
  const log = makeLog(options.logLevel)
  const runner = new TaskRunner({
    mongo,
    db,
    tasks,
    queues: options.queues.names,
    queueConcurrency: options.queues.limits,
    concurrency: options.concurrency,
    prefetch: options.prefetch,
    leaseMs: options.lease,
    secret,
    secrets: secretsOfTasks(options.secretsDir),
    signing: signingFromEnv({ ...process.env, TASKFLEET_SIGNING: options.signing }),
    log,
    routes: downloadRoutes,
    ...given({ thresholds, recurringErrors, listen, publicUrl, basePath, trustProxy, environment, name }),
  })
  const errors = new UnownedErrors(log)
  errors.watch(runner)
  const link = parent === undefined ? undefined : new ParentLink(parent, runner, tasks)
  const service = {
    start: () => runner.start(),
    stop: (times: StopOptions) => runner.stop(times),
    gone: link?.gone,
    orphaned,
    broken: errors.broken,
  }
  try {
    return await serveUntilStopped(service, stopTimes(options), () =>
      printListening({ url: runner.url ?? null, worker: runner.id, name: runner.name }),
    )
  } finally {
    link?.close()
    errors.close()
  }
}

/** By default the total is the grace plus the time for handlers, writes and connections to end. */
function stopTimes({ grace, stopTimeout }: Pick<WorkerCommand, 'grace' | 'stopTimeout'>): StopTimes {
  return { grace, stopTimeout: stopTimeout ?? milliseconds(grace) + AFTER_GRACE_MS }
}

/** @throws {FleetError} `BAD_JSON`, `CONFIG_RANGE` */
function thresholdsOf(gate: string): LoadThresholds {
  const thresholds = parseJson(gate, '--gate') as LoadThresholds
  // Checked before anything is connected.
  fullThresholds(thresholds)
  return thresholds
}

/** @throws {FleetError} `BAD_REQUEST` */
function recurringErrorsOf(options: WorkerCommand): RecurringErrors | undefined {
  const { errorWebhook: url, errorThreshold: threshold, errorPeriod: period } = options
  if (url === undefined) {
    if (threshold === undefined && period === undefined) return undefined
    throw new FleetError('BAD_REQUEST', '--error-threshold and --error-period need --error-webhook')
  }
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new FleetError('BAD_REQUEST', '--error-webhook must be an address such as https://hooks.example/errors')
  }
  return {
    webhook: { url, ...given({ secret: webhookSecret() }) },
    ...given({ threshold, period }),
  }
}

/** Signs webhooks. An empty variable counts as absent. */
const webhookSecret = (env = process.env): string | undefined => env.TASKFLEET_WEBHOOK_SECRET || undefined

export interface GatewayCommand extends ServeCommand {
  listen: ListenAddress
  attentionWebhook?: string[]
}

/** `taskfleet gateway`: serves until it gets a signal. */
export async function serveGateway(options: GatewayCommand): Promise<number> {
  setFlagsFromString(HEAP_GROWTH)
  const { listen, publicUrl, basePath, trustProxy, environment, name, attentionWebhook: urls = [] } = options
  const attentionWebhook = urls.length === 0 ? undefined : { urls, ...given({ secret: webhookSecret() }) }
  const orphaned = options.stopWithParent === true ? parentGone() : undefined
  const { uri: mongo, name: db } = databaseOf(options)
  const gateway = new GatewayHost({
    mongo,
    db,
    listen,
    secret: secretOf(options),
    log: makeLog(options.logLevel),
    routes: downloadRoutes,
    ...given({ publicUrl, basePath, trustProxy, environment, name, attentionWebhook }),
  })
  const service = { start: () => gateway.start(), stop: () => gateway.stop(), orphaned }
  return serveUntilStopped(service, { grace: 0, stopTimeout: STOP_TIMEOUT }, () =>
    printListening({ url: gateway.url ?? null, worker: gateway.id, name: name ?? null }),
  )
}

/** One line for the program that started this process and waits until it is ready. From then on signals are handled. */
function printListening(ready: { url: string | null; worker: string; name: string | null }): void {
  process.stdout.write(`${JSON.stringify({ event: 'listening', ...ready })}\n`)
}
