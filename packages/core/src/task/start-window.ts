import type { QueueRate } from '@taskfleet/protocol'
import { amount, type Expression, list, NOW } from './server-time.ts'

/** Starts that were granted in one piece of time. */
export interface StartBucket {
  /** When that piece ends, in milliseconds. */
  end: number
  /** How many. */
  n: number
}

/** A rate as the window needs it; all times in milliseconds. */
export interface RateRule {
  limit: number
  /** How long a bucket is: a hundredth of the rate's time. */
  width: number
  /** For how long a grant may be used, by the server's time. */
  usable: number
  /**
   * For how long a grant counts. A start lies at most `usable` behind its grant, so that in any `per` there are only starts
   * of grants from `per + usable`: the window is longer by that much.
   */
  span: number
}

const BUCKETS = 100
const LONGEST_USE_MS = 1_000

/** The window of a rate: a sliding one (as in Cloudflare's and Kong's limiters) whose buckets count to their very end. */
export function rateRule({ limit, per }: QueueRate): RateRule {
  const usable = Math.min(LONGEST_USE_MS, Math.floor(per / 10))
  return { limit, width: Math.ceil(per / BUCKETS), usable, span: per + usable }
}

/** Grants as many starts as the window has room for. Where the clock has gone back, the latest bucket takes them. */
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

/** When the window has room for one more start; `now` when it has. */
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

/** What lies further ahead than a clock that has gone back explains was put there by one that was wrong. */
const counts = (end: number, { width, span }: Pick<RateRule, 'width' | 'span'>, now: number): boolean =>
  end > now - span && end <= now + span + width

/**
 * `grantStarts` as an update: afterwards the document has `granted`, `end` and `at`, when that was. The rule that
 * somebody set last counts, whoever asks.
 *
 * @param rev the revision of the queue that the rule is of
 * @param now in milliseconds; the server's own time unless a test knows better
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
        // One that can't be understood gives way, whoever set it.
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
