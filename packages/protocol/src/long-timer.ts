/** The longest time of a single timer. For a longer time, it would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/**
 * Calls `act` once after `ms`, for any length of time: a long time is split into several timers.
 *
 * @returns a function that cancels it
 */
export function runAfter(ms: number, act: () => void): () => void {
  const dueAt = performance.now() + ms
  let timer: ReturnType<typeof setTimeout>
  const wait = (left: number): void => {
    timer =
      left > LONGEST_TIMER_MS
        ? setTimeout(() => wait(dueAt - performance.now()), LONGEST_TIMER_MS)
        : setTimeout(act, left)
  }
  wait(ms)
  return () => clearTimeout(timer)
}
