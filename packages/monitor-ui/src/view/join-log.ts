import type { LogLine, StoredLogLine } from '@taskfleet/protocol'

const keyOf = ({ seq, at }: LogLine): string => `${seq} ${at}`

/**
 * Stored lines, then those that only the task's socket has told so far. Live lines don't say their attempt: the last one
 * belongs to the current, and where numbers begin again, an earlier one ends.
 *
 * @param attempt the task's current attempt
 */
export function joinLog(
  stored: readonly StoredLogLine[],
  live: readonly LogLine[],
  attempt: number,
): readonly StoredLogLine[] {
  const known = new Set(stored.map(keyOf))
  const fresh: StoredLogLine[] = []
  let current = attempt
  let after = Number.POSITIVE_INFINITY
  for (const line of live.toReversed()) {
    if (line.seq >= after) current -= 1
    after = line.seq
    if (!known.has(keyOf(line))) fresh.push({ ...line, attempt: current })
  }
  return [...stored, ...fresh.reverse()].sort((a, b) => a.attempt - b.attempt || a.seq - b.seq)
}

/**
 * What is known after the newest stored lines were asked for again.
 * @returns the lines in order, and whether older ones may be missing before them
 */
export function mergeNewest(
  known: readonly StoredLogLine[],
  newest: readonly StoredLogLine[],
): { lines: readonly StoredLogLine[]; gap: boolean } {
  const [first] = newest
  if (first === undefined || known.length === 0) return { lines: newest, gap: false }
  const place = known.findIndex((line) => line.attempt === first.attempt && line.seq === first.seq)
  // So many new ones came that they no longer touch: the older ones are asked for again if somebody wants them.
  if (place === -1) return { lines: newest, gap: true }
  return { lines: [...known.slice(0, place), ...newest], gap: false }
}
