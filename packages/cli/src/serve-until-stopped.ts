import { Worker } from 'node:worker_threads'
import { type Duration, milliseconds } from '@taskfleet/protocol'
import { EXIT } from './exit.ts'
import { StopSignals } from './stop-signals.ts'

export interface Service {
  start(): Promise<void>
  /** Called at any time, also during the start, and once more with less time. */
  stop(times: { grace: Duration; timeout: Duration }): Promise<void>
  /** Resolves when there is nobody left to serve, which stops in order as well. */
  gone?: Promise<unknown> | undefined
  /** Resolves when the process that started this one has gone: it stops at once then. */
  orphaned?: Promise<unknown> | undefined
  /** Resolves when the process can't go on; it stops at once then, and ends with an error. */
  broken?: Promise<unknown> | undefined
}

export interface StopTimes {
  grace: Duration
  /** How long all of it may take. */
  stopTimeout: Duration
}

/** A second signal wants haste: what can be given back in this time is. */
const HASTE_MS = 1_500
/** Nothing runs yet: what hangs is the way to the database. */
const WHILE_STARTING_MS = 3_000
const BROKEN_MS = 5_000
/** How long before the end of the budget the process begins to end by itself. */
const ENDING_MS = 500

/**
 * Starts, serves until it gets a signal, and stops within the budget: in order at the first signal, at once at the second.
 * Returns the exit code. The caller then ends the process, whatever still goes on in it.
 */
export async function serveUntilStopped(service: Service, times: StopTimes, onReady: () => void): Promise<number> {
  const signals = new StopSignals()
  const { gone = never, orphaned = never, broken = never } = service
  try {
    const starting = service.start()
    const unwanted = Promise.race([signals.first, orphaned])
    const began = await Promise.race([starting.then(() => true), unwanted.then(() => false)])
    if (!began) {
      starting.catch(() => undefined)
      return await stopped(service, { grace: 0, timeout: WHILE_STARTING_MS }, signals)
    }
    onReady()
    const why = await Promise.race([
      Promise.race([signals.first, gone]).then(() => 'signal' as const),
      orphaned.then(() => 'orphaned' as const),
      broken.then(() => 'broken' as const),
    ])
    const timeout = milliseconds(times.stopTimeout)
    if (why === 'signal') return await stopped(service, { grace: times.grace, timeout }, signals, orphaned)
    if (why === 'orphaned') return await stopped(service, { grace: 0, timeout: Math.min(BROKEN_MS, timeout) }, signals)
    await stopped(service, { grace: 0, timeout: Math.min(BROKEN_MS, timeout) }, signals)
    return EXIT.failed
  } finally {
    signals.close()
  }
}

async function stopped(
  service: Service,
  { grace, timeout }: { grace: Duration; timeout: number },
  signals: StopSignals,
  orphaned: Promise<unknown> = never,
): Promise<number> {
  endAtTheLatest(timeout)
  const stopping = service.stop({ grace, timeout: Math.max(0, timeout - ENDING_MS) })
  const hurried = Promise.race([signals.second, orphaned])
  const inOrder = await Promise.race([stopping.then(() => true), hurried.then(() => false)])
  if (inOrder) return EXIT.done
  endAtTheLatest(HASTE_MS + ENDING_MS)
  await service.stop({ grace: 0, timeout: HASTE_MS })
  return EXIT.interrupted
}

/** Also where the event loop is blocked by then. */
function endAtTheLatest(ms: number): void {
  new Worker(new URL('./last-resort.js', import.meta.url), {
    workerData: { ms },
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16 },
  }).unref()
}

const never = new Promise<never>(() => undefined)
