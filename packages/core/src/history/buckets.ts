/**
 * The upper limits of the buckets of durations, in milliseconds: 1, 2 and 5 of each power of ten up to almost a day. One more bucket
 * holds what is longer.
 */
export const BUCKET_LIMITS_MS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((power) =>
  [1, 2, 5].map((step) => step * 10 ** power),
)

/** The index of the bucket that holds a duration. */
export function bucketOf(ms: number): number {
  const at = BUCKET_LIMITS_MS.findIndex((limit) => ms <= limit)
  return at === -1 ? BUCKET_LIMITS_MS.length : at
}

/** Estimates a quantile from the counts of the buckets, evenly spread within its bucket. Undefined without any durations. */
export function quantile(counts: readonly number[], part: number): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return undefined
  const wanted = total * part
  let below = 0
  for (const [index, count] of counts.entries()) {
    if (below + count < wanted || count === 0) {
      below += count
      continue
    }
    const from = BUCKET_LIMITS_MS[index - 1] ?? 0
    // The last bucket has no upper limit.
    const to = BUCKET_LIMITS_MS[index] ?? from
    return from + ((to - from) * (wanted - below)) / count
  }
  return BUCKET_LIMITS_MS.at(-1)
}
