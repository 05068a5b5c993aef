import { milliseconds, type QueueLimits, type QueueRow, shortDuration } from '@taskfleet/protocol'
import type { Errors } from './checks.ts'
import { formatCount } from './counts.ts'

/** What the form for a queue's limits holds, as it was typed; empty for no limit. */
export interface QueueLimitsForm {
  concurrency: string
  /** Starts in a time, such as `100/1m`. */
  rate: string
  maxWaiting: string
}

const LARGEST = { concurrency: 10_000, maxWaiting: 100_000_000 } as const

export function queueLimitsForm(said: QueueRow | undefined): QueueLimitsForm {
  return {
    concurrency: String(said?.concurrency ?? ''),
    rate: said?.rate === undefined ? '' : rateText(said.rate),
    maxWaiting: String(said?.maxWaiting ?? ''),
  }
}

export function queueLimitsErrors({ concurrency, rate, maxWaiting }: QueueLimitsForm): Errors<QueueLimitsForm> {
  return {
    ...countError('concurrency', concurrency),
    ...(rate.trim() === '' || rateOf(rate) !== undefined ? {} : { rate: RATE_RULE }),
    ...countError('maxWaiting', maxWaiting),
  }
}

const RATE_RULE = 'Starts in a time, such as 100/1m: 1 to 100,000 in 1s to 1d. Or nothing.'

const rateText = ({ limit, per }: { limit: number; per: number }): string => `${limit}/${shortDuration(per)}`

/** Undefined for what is no rate. */
function rateOf(text: string): { limit: number; per: number } | undefined {
  const [, typed, time] = /^([1-9]\d{0,5})\s*\/\s*(\d+(?:\.\d+)?(?:s|m|h|d))$/.exec(text.trim()) ?? []
  if (typed === undefined || time === undefined) return undefined
  const rate = { limit: Number(typed), per: milliseconds(time as `${number}s`) }
  const inRange = rate.limit <= 100_000 && rate.per >= 1_000 && rate.per <= 86_400_000 && Number.isInteger(rate.per)
  return inRange ? rate : undefined
}

function countError(field: keyof typeof LARGEST, text: string): Errors<QueueLimitsForm> {
  const typed = text.trim()
  if (typed === '' || (/^[1-9]\d*$/.test(typed) && Number(typed) <= LARGEST[field])) return {}
  return { [field]: `A whole number from 1 to ${formatCount(LARGEST[field])}, or nothing.` }
}

/** The limits that a form without errors means. */
export function queueLimitsRequest({ concurrency, rate, maxWaiting }: QueueLimitsForm): QueueLimits {
  return { concurrency: countOf(concurrency), rate: rateOf(rate) ?? null, maxWaiting: countOf(maxWaiting) }
}

const countOf = (text: string): number | null => (text.trim() === '' ? null : Number(text.trim()))

/** What limits a queue, for people; empty when nothing does. */
export function limitsLine({ concurrency, rate, maxWaiting }: Pick<QueueRow, keyof QueueLimits>): string {
  return [
    concurrency === undefined ? [] : `at most ${formatCount(concurrency)} at once`,
    rate === undefined ? [] : `at most ${formatCount(rate.limit)} per ${shortDuration(rate.per)}`,
    maxWaiting === undefined ? [] : `at most ${formatCount(maxWaiting)} waiting`,
  ]
    .flat()
    .join(', ')
}
