import type { QueueRate } from '@taskfleet/protocol'
import { amount, type Expression, list, NOW } from './server-time.ts'

/** Starts that were granted in one part of the window. */
export interface StartBucket {
  /** When that part ends, in milliseconds. */
  end: number
  /** How many starts were granted. */
  n: number
}

/** A rate in the form that the window uses. All times are in milliseconds. */
export interface RateRule {
  limit: number
  /** The length of a bucket: a hundredth of the rate's period. */
  width: number
  /** For how long a grant may be used, by the server's time. */
  usable: number
  /**
   * For how long a grant counts. A start is at most `usable` after its grant. So the starts in any `per` come from the grants
   * in `per + usable`, and the window is longer by `usable`.
   */
  span: number
}

const BUCKETS = 100
const LONGEST_USE_MS = 1_000

/** A rate's sliding window, as in the limiters of Cloudflare and Kong. A bucket counts in full until its end. */
export function rateRule({ limit, per }: QueueRate): RateRule {
  const usable = Math.min(LONGEST_USE_MS, Math.floor(per / 10))
  return { limit, width: Math.ceil(per / BUCKETS), usable, span: per + usable }
}

/** Grants as many starts as the window has room for. If the clock went back, they go into the latest bucket. */
export function grantStarts(
  buckets: readonly StartBucket[],
  { limit, width, span }: RateRule,
  asked: number,
  now: number,
): { granted: number; end: number; buckets: StartBucket[] } {
  const counted = buckets.filter(({ end }) => counts(end, { width, span }, now))
  const sum = counted.reduce((total, { n }) => total + n, 0)
  const granted = Math.max(0, Math.min(asked, limit - sum))
  const end = Math.max((Math.floor(now / width) + 1) * width, ...counted.map((bucket) => bucket.end))
  if (granted === 0) return { granted, end, buckets: counted }
  const rest = counted.filter((bucket) => bucket.end !== end)
  const there = counted.find((bucket) => bucket.end === end)?.n ?? 0
  return { granted, end, buckets: [...rest, { end, n: there + granted }] }
}

/** When the window has room for one more start; `now` if it has room. */
export function nextStart(buckets: readonly StartBucket[], rule: RateRule, now: number): number {
  const counted = buckets.filter(({ end }) => counts(end, rule, now)).sort((a, b) => a.end - b.end)
  let sum = counted.reduce((total, { n }) => total + n, 0)
  let at = now
  for (const { end, n } of counted) {
    if (sum < rule.limit) break
    sum -= n
    at = end + rule.span
  }
  return at
}

/** Ignores buckets too far ahead: a clock that went back doesn't explain them, so a wrong clock wrote them. */
const counts = (end: number, { width, span }: Pick<RateRule, 'width' | 'span'>, now: number): boolean =>
  end > now - span && end <= now + span + width

/**
 * `grantStarts` as an update. Afterwards the document has `granted`, `end` and the time `at`. The latest rule of the queue
 * applies, even if the requesting process still has an older one.
 *
 * @param rev the revision of the queue that has this rule
 * @param now in milliseconds; the server's time, except in tests
 */
export function grantUpdate(
  rule: RateRule,
  rev: number,
  asked: number,
  now: Expression = { $toLong: NOW },
): { $set: Record<string, Expression> }[] {
  const each = (value: Expression): Expression => ({ $map: { input: '$buckets', as: 'bucket', in: value } })
  const ownEnd = {
    $multiply: [{ $add: [{ $floor: { $divide: ['$at', '$rule.width'] } }, 1] }, '$rule.width'],
  }
  const isRule = { $and: ['limit', 'width', 'usable', 'span'].map((part) => ({ $isNumber: `$rule.${part}` })) }
  const counted = {
    $and: [
      { $isNumber: '$$bucket.end' },
      { $isNumber: '$$bucket.n' },
      { $gt: ['$$bucket.end', { $subtract: ['$at', '$rule.span'] }] },
      { $lte: ['$$bucket.end', { $add: ['$at', '$rule.span', '$rule.width'] }] },
    ],
  }
  const grown = { $add: ['$$bucket.n', { $cond: [{ $eq: ['$$bucket.end', '$end'] }, '$granted', 0] }] }
  const isNew = { $and: [{ $gt: ['$granted', 0] }, { $not: [{ $in: ['$end', each('$$bucket.end')] }] }] }
  return [
    {
      $set: {
        at: now,
        // A malformed stored rule is replaced.
        rule: {
          $cond: [{ $and: [{ $lt: [rev, amount('$rule.rev')] }, isRule] }, '$rule', { $literal: { ...rule, rev } }],
        },
      },
    },
    { $set: { buckets: { $filter: { input: list('$buckets'), as: 'bucket', cond: counted } } } },
    {
      $set: {
        granted: { $max: [0, { $min: [asked, { $subtract: ['$rule.limit', { $sum: each('$$bucket.n') }] }] }] },
        end: { $max: [ownEnd, { $max: each('$$bucket.end') }] },
      },
    },
    {
      $set: {
        grantedAt: { $cond: [{ $gt: ['$granted', 0] }, '$at', { $ifNull: ['$grantedAt', 0] }] },
        buckets: {
          $concatArrays: [
            each({ end: '$$bucket.end', n: grown }),
            { $cond: [isNew, [{ end: '$end', n: '$granted' }], []] },
          ],
        },
      },
    },
  ]
}
