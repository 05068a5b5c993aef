import type { QueueLimits, QueueRow } from '@taskfleet/core/protocol'
import { formatCount } from './counts.ts'
import type { Errors } from './event-form.ts'

/** What the form for a queue's limits holds, as it was typed; empty for no limit. */
export interface QueueLimitsForm {
  concurrency: string
  maxWaiting: string
}

const LARGEST = { concurrency: 10_000, maxWaiting: 100_000_000 } as const

export function queueLimitsForm(said: QueueRow | undefined): QueueLimitsForm {
  return { concurrency: String(said?.concurrency ?? ''), maxWaiting: String(said?.maxWaiting ?? '') }
}

export function queueLimitsErrors({ concurrency, maxWaiting }: QueueLimitsForm): Errors<QueueLimitsForm> {
  return {
    ...countError('concurrency', concurrency),
    ...countError('maxWaiting', maxWaiting),
  }
}

function countError(field: keyof typeof LARGEST, text: string): Errors<QueueLimitsForm> {
  const typed = text.trim()
  if (typed === '' || (/^[1-9]\d*$/.test(typed) && Number(typed) <= LARGEST[field])) return {}
  return { [field]: `A whole number from 1 to ${formatCount(LARGEST[field])}, or nothing.` }
}

/** The limits that a form without errors means. */
export function queueLimitsRequest({ concurrency, maxWaiting }: QueueLimitsForm): QueueLimits {
  return { concurrency: countOf(concurrency), maxWaiting: countOf(maxWaiting) }
}

const countOf = (text: string): number | null => (text.trim() === '' ? null : Number(text.trim()))

/** What limits a queue, for people; empty when nothing does. */
export function limitsLine({ concurrency, maxWaiting }: Pick<QueueRow, keyof QueueLimits>): string {
  return [
    concurrency === undefined ? [] : `at most ${formatCount(concurrency)} at once`,
    maxWaiting === undefined ? [] : `at most ${formatCount(maxWaiting)} waiting`,
  ]
    .flat()
    .join(', ')
}
