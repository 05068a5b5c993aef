import { once } from 'node:events'
import { FleetError } from '@taskfleet/core'
import type { Duration } from '@taskfleet/core/protocol'
import type { RecurringErrors } from '../errors/error-notice.ts'
import type { ListenAddress } from '../gateway/gateway.ts'
import { GatewayHost } from '../gateway/gateway-host.ts'
import type { SlotRange } from '../load/auto-slots.ts'
import { fullThresholds, type LoadThresholds } from '../load/thresholds.ts'
import { TaskRunner } from '../task-runner.ts'
import { databaseOf } from './address.ts'
import { EXIT } from './exit.ts'
import { ParentLink, parentProcess } from './ipc.ts'
import { loadTasks } from './load-tasks.ts'
import { type CommonOptions, makeLog, parseJson, type ServedQueues } from './options.ts'

export interface WorkerCommand extends CommonOptions {
  tasks: string
  queues: ServedQueues
  concurrency: number | 'auto' | SlotRange
  prefetch: number
  gate?: string
  listen?: ListenAddress
  publicUrl?: string
  name?: string
  lease: number
  grace: Duration
  errorWebhook?: string
  errorThreshold?: number
  errorPeriod?: Duration
  ipc?: boolean
}

/** `taskfleet worker`: runs until it is told to stop. */
export async function serveWorker(options: WorkerCommand): Promise<number> {
  const parent = options.ipc === true ? parentProcess() : undefined
  const recurringErrors = recurringErrorsOf(options)
  const thresholds = options.gate === undefined ? undefined : thresholdsOf(options.gate)
  const { uri: mongo, name: db } = databaseOf(options)
  const tasks = await loadTasks(options.tasks)
  const runner = new TaskRunner({
    mongo,
    db,
    tasks,
    queues: options.queues.names,
    queueConcurrency: options.queues.limits,
    concurrency: options.concurrency,
    prefetch: options.prefetch,
    leaseMs: options.lease,
    log: makeLog(options.logLevel),
    ...(thresholds === undefined ? {} : { thresholds }),
    ...(recurringErrors === undefined ? {} : { recurringErrors }),
    ...(options.listen === undefined ? {} : { listen: options.listen }),
    ...(options.publicUrl === undefined ? {} : { publicUrl: options.publicUrl }),
    ...(options.name === undefined ? {} : { name: options.name }),
  })
  const link = parent === undefined ? undefined : new ParentLink(parent, runner, tasks)
  try {
    await runner.start()
    const stopped = untilStopped((hurry) => runner.stop({ grace: hurry ? 0 : options.grace }), link?.gone)
    sayListening({ url: runner.url ?? null, worker: runner.id, name: runner.name })
    return await stopped
  } finally {
    link?.close()
  }
}

/** @throws {FleetError} `BAD_JSON`, `CONFIG_RANGE` */
function thresholdsOf(gate: string): LoadThresholds {
  const thresholds = parseJson(gate, '--gate') as LoadThresholds
  // Told before anything is connected to.
  fullThresholds(thresholds)
  return thresholds
}

/** @throws {FleetError} `BAD_REQUEST` */
function recurringErrorsOf(options: WorkerCommand, env = process.env): RecurringErrors | undefined {
  const { errorWebhook: url, errorThreshold: threshold, errorPeriod: period } = options
  if (url === undefined) {
    if (threshold === undefined && period === undefined) return undefined
    throw new FleetError('BAD_REQUEST', '--error-threshold and --error-period are about --error-webhook: give that too')
  }
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new FleetError('BAD_REQUEST', '--error-webhook is an address such as https://hooks.example/errors')
  }
  const secret = env.TASKFLEET_WEBHOOK_SECRET
  return {
    webhook: { url, ...(secret === undefined || secret === '' ? {} : { secret }) },
    ...(threshold === undefined ? {} : { threshold }),
    ...(period === undefined ? {} : { period }),
  }
}

export interface GatewayCommand extends CommonOptions {
  listen: ListenAddress
  publicUrl?: string
  name?: string
}

/** `taskfleet gateway`: serves until it is told to stop. */
export async function serveGateway(options: GatewayCommand): Promise<number> {
  const { listen, publicUrl, name } = options
  const { uri: mongo, name: db } = databaseOf(options)
  const gateway = new GatewayHost({
    mongo,
    db,
    listen,
    log: makeLog(options.logLevel),
    ...(publicUrl === undefined ? {} : { publicUrl }),
    ...(name === undefined ? {} : { name }),
  })
  await gateway.start()
  const stopped = untilStopped(() => gateway.stop())
  sayListening({ url: gateway.url ?? null, worker: gateway.id, name: name ?? null })
  return stopped
}

/** One line for whoever started this process and waits until it is ready; from then on signals must be heeded. */
function sayListening(ready: { url: string | null; worker: string; name: string | null }): void {
  process.stdout.write(`${JSON.stringify({ event: 'listening', ...ready })}\n`)
}

/**
 * Stops in order at the first signal and in a hurry at the second.
 *
 * @param gone resolves when there is nobody left to serve, which stops in order as well
 */
async function untilStopped(stop: (hurry: boolean) => Promise<void>, gone?: Promise<unknown>): Promise<number> {
  const signal = (): Promise<unknown> => Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  await Promise.race(gone === undefined ? [signal()] : [signal(), gone])
  const stopping = stop(false)
  void signal().then(() => stop(true))
  await stopping
  return EXIT.done
}
