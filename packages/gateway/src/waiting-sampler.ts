import { type AttentionCommands, type WaitingSamples, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

const MINUTE_MS = 60_000
/** A gateway that runs for a moment, such as a test's, takes none. */
const FIRST_MS = 5_000
/** The gateways of a fleet look at different moments of a minute. */
const SPREAD_MS = 20_000

/** Takes a sample of what waits in each minute, unless another gateway has taken it. */
export function waitingSampler(
  samples: Pick<WaitingSamples, 'take'>,
  source: Pick<AttentionCommands, 'look'>,
  log: Logger,
): WatchLoop {
  return new WatchLoop({
    look: async () => {
      await samples.take(() => source.look())
      return MINUTE_MS - (Date.now() % MINUTE_MS) + Math.random() * SPREAD_MS
    },
    everyMs: MINUTE_MS,
    firstMs: FIRST_MS,
    log,
    failed: 'what waits could not be counted in this minute',
  })
}
