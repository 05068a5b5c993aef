import type { HistoryRow } from '@taskfleet/protocol'
import { describe, expect, it } from 'vitest'
import { aWorker, iso } from '../testing/rows.ts'
import { usualRuns } from './history.ts'
import { hostLines, leftOf, untilEmpty } from './host-lines.ts'

const NOW = Date.parse('2026-05-04T12:00:00Z')
const MINUTE = 60_000
const row = (differs: Partial<HistoryRow>): HistoryRow => ({
  ...{ at: iso(NOW), queue: 'default', name: 'encode', outcome: 'completed', status: 'completed', count: 1 },
  waitMs: { count: 0 },
  runMs: { count: 10, p50: MINUTE, p95: 10 * MINUTE, p99: 12 * MINUTE },
  ...differs,
})

describe('the hosts', () => {
  it('are all live processes, and the newest of each name that has none', () => {
    const names = hostLines(
      [
        aWorker({ _id: 'a1', name: 'a', state: 'stopped' }, NOW),
        aWorker({ _id: 'a2', name: 'a' }, NOW),
        aWorker({ _id: 'g', name: 'A-gate', role: 'gateway' }, NOW),
        aWorker({ _id: 'c1', name: 'c', state: 'stopped', startedAt: iso(NOW - 9e6) }, NOW),
        aWorker({ _id: 'c2', name: 'c', state: 'stopped' }, NOW),
      ],
      NOW,
    ).map(({ worker, state }) => [worker._id, state])
    expect(names).toEqual([
      ['a2', 'running'],
      ['g', 'running'],
      ['c2', 'stopped'],
    ])
  })
})

describe('the time until a host is empty', () => {
  const usual = usualRuns([row({}), row({ name: 'report', outcome: 'failed' })])
  const task = (name: string, ago: number) => ({ name, claimedAt: iso(NOW - ago) })

  it('is known by progress, else by the usual time of the handler', () => {
    expect(leftOf(task('encode', MINUTE), 5_000, usual, NOW)).toBe(5_000)
    expect(leftOf(task('encode', MINUTE), undefined, usual, NOW)).toBe(9 * MINUTE)
    expect(leftOf(task('encode', 20 * MINUTE), undefined, usual, NOW)).toBeUndefined()
    expect(leftOf(task('report', MINUTE), undefined, usual, NOW)).toBeUndefined()
  })

  it('is that of the longest task, and unknown if that of one is', () => {
    expect(untilEmpty(2, [MINUTE, 11 * MINUTE])).toBe('2 tasks, about 11\u00a0m')
    expect(untilEmpty(2, [MINUTE, undefined])).toBe('2 tasks, time unknown')
    expect(untilEmpty(3, [MINUTE])).toBe('3 tasks, time unknown')
    expect(untilEmpty(0, [])).toBe('empty')
  })
})
