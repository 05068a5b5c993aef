import { once } from 'node:events'
import type { Duration } from '@taskfleet/core/protocol'
import type { ListenAddress } from '../gateway/gateway.ts'
import { GatewayHost } from '../gateway/gateway-host.ts'
import { TaskRunner } from '../task-runner.ts'
import { EXIT } from './exit.ts'
import { loadTasks } from './load-tasks.ts'
import { type CommonOptions, makeLog, mongoUri } from './options.ts'

export interface WorkerCommand extends CommonOptions {
  tasks: string
  queues: string[]
  concurrency: number
  listen?: ListenAddress
  publicUrl?: string
  name?: string
  lease: number
  grace: Duration
}

/** `taskfleet worker`: runs until it is told to stop. */
export async function serveWorker(options: WorkerCommand): Promise<number> {
  const runner = new TaskRunner({
    mongo: mongoUri(options),
    tasks: await loadTasks(options.tasks),
    queues: options.queues,
    concurrency: options.concurrency,
    leaseMs: options.lease,
    log: makeLog(options.logLevel),
    ...(options.listen === undefined ? {} : { listen: options.listen }),
    ...(options.publicUrl === undefined ? {} : { publicUrl: options.publicUrl }),
    ...(options.name === undefined ? {} : { name: options.name }),
  })
  await runner.start()
  sayListening({ url: runner.url ?? null, worker: runner.id, name: runner.name })
  return untilStopped((hurry) => runner.stop({ grace: hurry ? 0 : options.grace }))
}

export interface GatewayCommand extends CommonOptions {
  listen: ListenAddress
  publicUrl?: string
  name?: string
}

/** `taskfleet gateway`: serves until it is told to stop. */
export async function serveGateway(options: GatewayCommand): Promise<number> {
  const { listen, publicUrl, name } = options
  const gateway = new GatewayHost({
    mongo: mongoUri(options),
    listen,
    log: makeLog(options.logLevel),
    ...(publicUrl === undefined ? {} : { publicUrl }),
    ...(name === undefined ? {} : { name }),
  })
  await gateway.start()
  sayListening({ url: gateway.url ?? null, worker: gateway.id, name: name ?? null })
  return untilStopped(() => gateway.stop())
}

/** One line for whoever started this process and waits until it is ready. */
function sayListening(ready: { url: string | null; worker: string; name: string | null }): void {
  process.stdout.write(`${JSON.stringify({ event: 'listening', ...ready })}\n`)
}

/** Stops in order at the first signal and in a hurry at the second. */
async function untilStopped(stop: (hurry: boolean) => Promise<void>): Promise<number> {
  const signal = (): Promise<unknown> => Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  await signal()
  const stopping = stop(false)
  void signal().then(() => stop(true))
  await stopping
  return EXIT.done
}
