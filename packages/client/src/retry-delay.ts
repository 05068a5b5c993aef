const FIRST_MS = 1_000
const MOST_MS = 30_000

/**
 * How long to wait before a retry, in milliseconds: about 1 s, doubled after each failure, at most 30 s. A quarter of it is
 * random, so that many clients do not come back at the same moment.
 *
 * @param failures the number of failures in a row, from 1
 */
export function retryDelay(failures: number, random: () => number = Math.random): number {
  const whole = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10))
  return whole * (0.75 + random() / 4)
}
