import { milliseconds, type QueueLimits, type QueueRate, shortDuration } from '@taskfleet/protocol'
import { durationWithin, wholeNumber } from '@taskfleet/protocol/internal'

const LARGEST = { concurrency: 10_000, maxWaiting: 100_000_000, 'rate.limit': 100_000 } as const
const SHORTEST_MS = 1_000
const LONGEST_MS = 86_400_000

/** The given limits of a queue in their stored form; null removes a limit. */
export interface ParsedLimits {
  concurrency?: number | null
  rate?: QueueRate | null
  maxWaiting?: number | null
}

/** Checks limits of a queue. @throws {FleetError} `OUT_OF_RANGE`, `BAD_DURATION` */
export function parseQueueLimits({ concurrency, rate, maxWaiting }: QueueLimits): ParsedLimits {
  return {
    ...(concurrency === undefined ? {} : { concurrency: parseCount(concurrency, 'concurrency') }),
    ...(rate === undefined ? {} : { rate: rate === null ? null : parseRate(rate) }),
    ...(maxWaiting === undefined ? {} : { maxWaiting: parseCount(maxWaiting, 'maxWaiting') }),
  }
}

function parseRate({ limit, per }: NonNullable<QueueLimits['rate']>): QueueRate {
  const ms = durationWithin(milliseconds(per), 'rate.per', { least: SHORTEST_MS, most: LONGEST_MS })
  return { limit: wholeNumber(limit, 'rate.limit', { least: 1, most: LARGEST['rate.limit'] }), per: ms }
}

const parseCount = (value: number | null, field: keyof typeof LARGEST): number | null =>
  value === null ? null : wholeNumber(value, field, { least: 1, most: LARGEST[field] })

/** The given limits as a text, for the audit log and for people. */
export function limitsText(limits: QueueLimits): string {
  const { concurrency, rate, maxWaiting } = parseQueueLimits(limits)
  const said = [
    concurrency === undefined ? [] : concurrency === null ? 'no limit' : `at most ${concurrency} at once`,
    rate === undefined ? [] : rate === null ? 'no rate' : `at most ${rateText(rate)}`,
    maxWaiting === undefined
      ? []
      : maxWaiting === null
        ? 'default limit of waiting tasks'
        : `at most ${maxWaiting} waiting`,
  ]
  return said.flat().join(', ')
}

const rateText = ({ limit, per }: QueueRate): string =>
  `${limit} ${limit === 1 ? 'start' : 'starts'} per ${shortDuration(per)}`
