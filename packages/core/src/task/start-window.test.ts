import { useDatabase } from '@taskfleet/testkit/use-database'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { grantStarts, grantUpdate, nextStart, type RateRule, rateRule, type StartBucket } from './start-window.ts'

const db = useDatabase()
const T0 = 1_800_000_000_000

const rates = fc.record({ limit: fc.integer({ min: 1, max: 20 }), per: fc.integer({ min: 1_000, max: 100_000 }) })
/** Requests: how many starts, and after which part of the rate's period. */
const requests = fc.array(
  fc.record({ after: fc.double({ min: 0, max: 0.6, noNaN: true }), asked: fc.integer({ min: 1, max: 12 }) }),
  { minLength: 1, maxLength: 60 },
)

describe('the window of a rate', () => {
  test('grants as much as an exact list of grants allows, and never too many starts in any span of its period', () => {
    fc.assert(
      fc.property(rates, requests, fc.func(fc.double({ min: 0, max: 1, noNaN: true })), (rate, asks, late) => {
        const rule = rateRule(rate)
        let now = T0
        let buckets: StartBucket[] = []
        const granted: number[] = []
        for (const { after, asked } of asks) {
          now += Math.floor(after * rate.per)
          const counting = granted.filter((at) => (Math.floor(at / rule.width) + 1) * rule.width > now - rule.span)
          const answer = grantStarts(buckets, rule, asked, now)
          expect(answer.granted).toBe(Math.max(0, Math.min(asked, rate.limit - counting.length)))
          buckets = answer.buckets
          for (let n = 0; n < answer.granted; n += 1) granted.push(now)
        }
        expect(buckets.length).toBeLessThanOrEqual(115)
        // Each start is at any time that its grant allows.
        const starts = granted.map((at, index) => at + Math.floor(late(index) * rule.usable)).sort((a, b) => a - b)
        for (const from of starts)
          expect(starts.filter((at) => at >= from && at < from + rate.per).length).toBeLessThanOrEqual(rate.limit)
      }),
      { numRuns: 500 },
    )
  })

  test('returns the exact time of the next free start', () => {
    fc.assert(
      fc.property(rates, requests, (rate, asks) => {
        const rule = rateRule(rate)
        let now = T0
        let buckets: StartBucket[] = []
        for (const { after, asked } of asks) {
          now += Math.floor(after * rate.per)
          buckets = grantStarts(buckets, rule, asked, now).buckets
          const next = nextStart(buckets, rule, now)
          expect(grantStarts(buckets, rule, 1, next).granted).toBe(1)
          if (next > now) expect(grantStarts(buckets, rule, 1, next - 1).granted).toBe(0)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('keeps the limit when the clock goes back, and ignores buckets far ahead from a wrong clock', () => {
    const rule = rateRule({ limit: 5, per: 1_000 })
    let { buckets } = grantStarts([], rule, 3, T0)
    const back = grantStarts(buckets, rule, 4, T0 - 500)
    expect(back.granted).toBe(2)
    buckets = back.buckets
    expect(buckets).toEqual([{ end: T0 + 10, n: 5 }])
    expect(grantStarts(buckets, rule, 1, T0 + 1_000).granted).toBe(0)
    expect(grantStarts([{ end: T0 + 86_400_000, n: 5 }], rule, 5, T0).granted).toBe(5)
  })

  test('a day of use costs a tenth of the throughput at most', () => {
    for (const per of [1_000, 2_500, 60_000, 86_400_000]) {
      const { span, width } = rateRule({ limit: 10, per })
      expect(span + width).toBeLessThanOrEqual(per * 1.11)
    }
  })

  test('is the same as an update of the database', async () => {
    const windows = db.database.db.collection<{
      _id: string
      rule?: RateRule & { rev: number }
      buckets: StartBucket[]
      granted?: number
      end?: number
    }>('windows')
    await fc.assert(
      fc.asyncProperty(rates, requests, fc.uuid(), async (rate, asks, _id) => {
        const rule = rateRule(rate)
        await windows.insertOne({ _id, buckets: [] })
        let now = T0
        let buckets: StartBucket[] = []
        for (const { after, asked } of asks.slice(0, 12)) {
          now += Math.floor(after * rate.per)
          const wanted = grantStarts(buckets, rule, asked, now)
          const stored = await windows.findOneAndUpdate({ _id }, grantUpdate(rule, 1, asked, { $literal: now }), {
            returnDocument: 'after',
          })
          expect({ granted: stored?.granted, end: stored?.end, buckets: stored?.buckets }).toEqual(wanted)
          buckets = wanted.buckets
        }
      }),
      { numRuns: 25 },
    )
  })

  test('uses the latest rule, even for a process with an older one', async () => {
    const windows = db.database.db.collection<{ _id: string; rule?: unknown; granted?: number }>('rules')
    await windows.insertOne({ _id: 'q' })
    const ask = async (limit: number, rev: number) =>
      (await windows.findOneAndUpdate({ _id: 'q' }, grantUpdate(rateRule({ limit, per: 60_000 }), rev, 8), {
        returnDocument: 'after',
      }))!.granted
    expect(await ask(3, 2)).toBe(3)
    expect(await ask(100, 1)).toBe(0)
    expect(await ask(5, 3)).toBe(2)
    expect(await ask(4, 4)).toBe(0)
  })
})
