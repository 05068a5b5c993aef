import { FleetError } from '../errors.ts'
import type { QueueLimits } from '../protocol.ts'

const LARGEST = { concurrency: 10_000, maxWaiting: 100_000_000 } as const

/** What may be said of a queue's limits, checked. @throws {FleetError} `OUT_OF_RANGE` */
export function parseQueueLimits({ concurrency, maxWaiting }: QueueLimits): QueueLimits {
  return {
    ...(concurrency === undefined ? {} : { concurrency: parseCount(concurrency, 'concurrency') }),
    ...(maxWaiting === undefined ? {} : { maxWaiting: parseCount(maxWaiting, 'maxWaiting') }),
  }
}

function parseCount(value: number | null, field: keyof typeof LARGEST): number | null {
  if (value === null || (Number.isInteger(value) && value >= 1 && value <= LARGEST[field])) return value
  throw new FleetError('OUT_OF_RANGE', `'${field}' is a whole number from 1 to ${LARGEST[field]}`, { field })
}

/** What was said, for the record and for people. */
export function limitsText({ concurrency, maxWaiting }: QueueLimits): string {
  const said = [
    concurrency === undefined ? [] : concurrency === null ? 'no limit' : `at most ${concurrency} at once`,
    maxWaiting === undefined ? [] : maxWaiting === null ? 'as many may wait as usual' : `at most ${maxWaiting} waiting`,
  ]
  return said.flat().join(', ')
}
