import { Worker } from 'node:worker_threads'
import { type Duration, milliseconds } from '@taskfleet/protocol'
import { EXIT } from './exit.ts'
import { StopSignals } from './stop-signals.ts'

export interface Service {
  start(): Promise<void>
  /** May be called at any time, also during the start, and again with less time. */
  stop(times: { grace: Duration; timeout: Duration }): Promise<void>
  /** Resolves when the parent has closed its channel: then the service stops in order. */
  gone?: Promise<unknown> | undefined
  /** Resolves when the parent process has ended: then the service stops at once. */
  orphaned?: Promise<unknown> | undefined
  /** Resolves when the process can't go on: then the service stops at once, with an error. */
  broken?: Promise<unknown> | undefined
}

export interface StopTimes {
  grace: Duration
  /** How long stopping may take in total. */
  stopTimeout: Duration
}

/** How long stopping may take after a second signal. */
const HASTE_MS = 1_500
/** How long stopping may take during the start, when nothing runs yet. */
const WHILE_STARTING_MS = 3_000
const BROKEN_MS = 5_000
/** How long before the end of the budget the service must have stopped. */
const ENDING_MS = 500

/**
 * Starts a service, serves until a signal, and stops within the budget: in order at the first signal, at once at the second. Returns the
 * exit code, with which the caller ends the process.
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
    const code = await stopped(service, { grace: 0, timeout: Math.min(BROKEN_MS, timeout) }, signals)
    return why === 'broken' ? EXIT.failed : code
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

/** Kills the process after this time, even if its event loop is blocked. */
function endAtTheLatest(ms: number): void {
  new Worker(new URL('./last-resort.js', import.meta.url), {
    workerData: { ms },
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16 },
  }).unref()
}

const never = new Promise<never>(() => undefined)
