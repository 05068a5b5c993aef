import type { Progress } from '@taskfleet/protocol'

/** Bytes from `from` up to, but without, `to`. */
interface Span {
  from: number
  to: number
}

/** Which bytes of a file a download has. */
export interface Segments {
  /** In order, and apart from each other. */
  spans: Span[]
  /** The bytes of all spans. */
  have: number
  /** The size of the file. */
  total: number
}

/** A strip has no room for more. */
const MOST_SPANS = 64

/**
 * The bytes that a download has on its disk, by its checkpoint: `bytes` from the start, and `ahead`, where each span behind them begins and ends.
 *
 * @param progress of a download over one connection, it is newer than the checkpoint
 * @returns undefined while the size is unknown, or nothing is stored
 */
export function segmentsOf(checkpoint: unknown, progress: Progress | undefined): Segments | undefined {
  const { bytes, ahead, total: stored } = fieldsOf(checkpoint)
  const total = stored ?? progress?.total
  if (bytes === undefined || total === undefined || total <= 0) return undefined
  const front = ahead === undefined ? Math.max(bytes, progress?.done ?? 0) : bytes
  const spans: Span[] = []
  for (const { from, to } of [{ from: 0, to: front }, ...pairsOf(ahead ?? [])]) {
    const last = spans.at(-1)
    const [start, end] = [Math.max(0, from), Math.min(to, total)]
    if (end <= start) continue
    if (last !== undefined && start <= last.to) last.to = Math.max(last.to, end)
    else if (spans.length < MOST_SPANS) spans.push({ from: start, to: end })
  }
  return { spans, have: spans.reduce((sum, { from, to }) => sum + to - from, 0), total }
}

/** A checkpoint is the handler's own, so anything may be in it. */
function fieldsOf(checkpoint: unknown): { bytes?: number; ahead?: number[]; total?: number } {
  if (typeof checkpoint !== 'object' || checkpoint === null) return {}
  const { bytes, ahead, total } = checkpoint as Record<string, unknown>
  return {
    ...(isAmount(bytes) && { bytes }),
    ...(isAmount(total) && { total }),
    ...(Array.isArray(ahead) && ahead.every(isAmount) && { ahead }),
  }
}

const isAmount = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0

const pairsOf = (ends: readonly number[]): Span[] =>
  Array.from({ length: Math.floor(ends.length / 2) }, (_, at) => ({ from: ends[2 * at]!, to: ends[2 * at + 1]! })).sort(
    (a, b) => a.from - b.from,
  )
