const FIRST_MS = 1_000
const MOST_MS = 30_000

/**
 * How long to wait before something that failed is tried again, in milliseconds: about 1 s, twice as long after each
 * failure, 30 s at most. A quarter of it is left to chance, so that many clients do not come back at the same moment.
 *
 * @param failures how often it has failed in a row, from 1
 */
export function retryDelay(failures: number, random: () => number = Math.random): number {
  const whole = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10))
  return whole * (0.75 + random() / 4)
}
