import type { HistoryRow } from '@taskfleet/protocol'
import { expect, it } from 'vitest'
import { usualRuns } from './usual-runs.ts'

const row = (name: string, count: number, p95: number, outcome = 'completed'): HistoryRow => ({
  ...{ at: '2027-03-01T12:00:00.000Z', queue: 'bulk', name, outcome, status: outcome, count },
  ...{ waitMs: { count }, runMs: { count, p95 } },
})

it('weighs each hour by its tasks, and says nothing about the few', () => {
  const known = usualRuns([
    ...[row('encode', 30, 1_000), row('encode', 10, 5_000), row('encode', 900, 60_000, 'failed')],
    row('rare', 3, 1_000),
  ])
  expect([...known]).toEqual([['encode', 2_000]])
})
