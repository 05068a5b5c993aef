import type { CoverageRow, HandlerRow, HistoryRow } from '@taskfleet/protocol'
import { expect, it } from 'vitest'
import { endedByName, handlerLines } from './handler-lines.ts'

const handler: HandlerRow = { name: 'encode', version: 2, queues: ['video'], workers: ['fra-1', 'fra-2'] }
const waits: CoverageRow = {
  ...{ queue: 'video', name: 'encode', version: 2, waiting: 3, due: 1, running: 2, oldest: '2027-03-01T02:00:00.000Z' },
  ...{ workers: ['fra-1', 'fra-2'], served: true, schedules: [], callbacks: 0 },
}

it('joins what workers have with what waits, and puts what nobody serves first', () => {
  const bulk = { ...waits, queue: 'bulk', workers: [], served: false, schedules: ['nightly'], callbacks: 1 }
  const older = { ...waits, version: 1, oldest: '2027-03-01T01:00:00.000Z', workers: [], served: false }
  const idle = { name: 'archive', version: 1, queues: ['default'], workers: ['fra-1'] }
  const lines = handlerLines([idle, handler], [bulk, older, waits])
  expect(lines.map(({ type, unserved }) => [type, unserved])).toEqual([
    ['encode@1', ['video']],
    ['encode@2', ['bulk']],
    ['archive@1', []],
  ])
  expect(lines[1]).toMatchObject({
    ...{ queues: ['video', 'bulk'], workers: ['fra-1', 'fra-2'], waiting: 6, due: 2, running: 4 },
    ...{ oldest: '2027-03-01T02:00:00.000Z', schedules: ['nightly'], callbacks: 1 },
  })
})

it('sums the attempts of each name, with estimated percentiles', () => {
  const spread = (count: number, p50: number, p95: number) => ({ count, p50, p95, p99: p95 })
  const row = (overrides: Partial<HistoryRow>): HistoryRow => ({
    ...{ at: '2027-03-01T02:00:00.000Z', queue: 'video', name: 'encode', outcome: 'completed', status: 'completed' },
    ...{ count: 90, waitMs: { count: 0 }, runMs: spread(90, 1_000, 2_000), ...overrides },
  })
  const ended = endedByName([
    row({}),
    row({ outcome: 'failed', status: 'pending', count: 10, runMs: spread(10, 9_000, 9_000) }),
    row({ outcome: 'none', status: 'cancelled', count: 7, runMs: { count: 0 } }),
    row({ name: 'archive', count: 2, runMs: { count: 0 } }),
  ])
  expect(ended.get('encode')).toEqual({ count: 100, failed: 10, p50: 1_109, p95: 9_000 })
  expect(endedByName([row({})]).get('encode')).toEqual({ count: 90, failed: 0, p50: 1_000, p95: 2_000 })
  expect(ended.get('archive')).toEqual({ count: 2, failed: 0, p50: undefined, p95: undefined })
})
