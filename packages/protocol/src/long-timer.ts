/** The longest that a single timer takes: it fires at once for anything longer. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/**
 * Calls `act` once after `ms`, however long that is: what one timer can't wait for is waited for by several in a row.
 *
 * @returns its undo
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
