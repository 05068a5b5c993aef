/** How long to wait before the next attempt, all times in milliseconds. */
export interface BackoffPolicy {
  base: number
  factor: number
  cap: number
  jitter: boolean
}

export const DEFAULT_BACKOFF: BackoffPolicy = { base: 1_000, factor: 2, cap: 300_000, jitter: true }

/**
 * Exponential back-off with "equal jitter" (half fixed, half random), as described in "Exponential Backoff And Jitter"
 * of the AWS Architecture Blog: it spreads retries without ever retrying at once.
 *
 * @param failures how many attempts have failed, from 1
 * @param random a number from 0 to 1
 */
export function backoffDelay(policy: BackoffPolicy, failures: number, random: number): number {
  const delay = Math.min(policy.cap, policy.base * policy.factor ** Math.max(0, failures - 1))
  return Math.round(policy.jitter ? delay / 2 + (delay / 2) * random : delay)
}
