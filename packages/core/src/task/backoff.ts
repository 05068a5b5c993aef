/** How long to wait before the next attempt, all times in milliseconds. */
export interface BackoffPolicy {
  base: number
  factor: number
  cap: number
  jitter: boolean
  /** The handler's own delay, instead of `base` and `factor`. */
  delay?: (failures: number, error: unknown) => number
}

export const DEFAULT_BACKOFF: BackoffPolicy = { base: 1_000, factor: 2, cap: 300_000, jitter: true }

/**
 * Exponential back-off with "equal jitter" (half fixed, half random), as described in "Exponential Backoff And Jitter"
 * of the AWS Architecture Blog. It spreads retries, and never retries immediately.
 *
 * @param failures how many attempts have failed, from 1
 * @param random a number from 0 to 1
 * @param error the attempt's error, for the handler's own `delay`
 */
export function backoffDelay(policy: BackoffPolicy, failures: number, random: number, error?: unknown): number {
  const own = policy.delay?.(failures, error)
  const delay = Math.min(policy.cap, own ?? policy.base * policy.factor ** Math.max(0, failures - 1))
  return Math.round(policy.jitter ? delay / 2 + (delay / 2) * random : delay)
}
