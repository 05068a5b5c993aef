import type { LogLine, StoredLogLine } from '@taskfleet/protocol'
import { isBefore } from './log-lines.ts'

const keyOf = ({ seq, at }: LogLine): string => `${seq} ${at}`

/** What tells whether a line is stored. */
export const knownLines = (stored: readonly StoredLogLine[]): ReadonlySet<string> => new Set(stored.map(keyOf))

/**
 * Stored lines, then those that only the task's socket has sent so far. Live lines don't have their attempt: the last one
 * belongs to the current attempt, and where numbers begin again, an earlier attempt ends.
 *
 * @param attempt the task's current attempt
 * @param known of the stored lines, so that a new line costs only the live ones
 */
export function joinLog(
  stored: readonly StoredLogLine[],
  live: readonly LogLine[],
  attempt: number,
  known: ReadonlySet<string> = knownLines(stored),
): readonly StoredLogLine[] {
  const fresh: StoredLogLine[] = []
  let current = attempt
  let after = Number.POSITIVE_INFINITY
  for (const line of live.toReversed()) {
    if (line.seq >= after) current -= 1
    after = line.seq
    if (!known.has(keyOf(line))) fresh.push({ ...line, attempt: current })
  }
  if (fresh.length === 0) return stored
  const joined = [...stored, ...fresh.reverse()]
  const last = stored.at(-1)
  const first = fresh[0]
  if (last === undefined || first === undefined || isBefore(last, first)) return joined
  return joined.sort((a, b) => a.attempt - b.attempt || a.seq - b.seq)
}

/**
 * The known lines after the newest stored lines were loaded again.
 * @returns the lines in order, and whether older ones may be missing before them
 */
export function mergeNewest(
  known: readonly StoredLogLine[],
  newest: readonly StoredLogLine[],
): { lines: readonly StoredLogLine[]; gap: boolean } {
  const [first] = newest
  if (first === undefined || known.length === 0) return { lines: newest, gap: false }
  const place = known.findIndex((line) => line.attempt === first.attempt && line.seq === first.seq)
  // There are so many new lines that a gap remains: the older ones are loaded again on request.
  if (place === -1) return { lines: newest, gap: true }
  return { lines: [...known.slice(0, place), ...newest], gap: false }
}
