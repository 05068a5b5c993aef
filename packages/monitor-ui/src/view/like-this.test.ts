import type { HistoryRow } from '@taskfleet/protocol'
import { describe, expect, it } from 'vitest'
import { aTask, EPOCH, iso } from '../testing/rows.ts'
import { latestRun, placeText, usualEnd, usualRun } from './like-this.ts'

const row = (count: number, outcome = 'completed', times = { p50: 1_000, p95: 4_000, p99: 5_000 }): HistoryRow => ({
  ...{ at: iso(EPOCH), queue: 'default', name: 'encode', host: 'fra-1', outcome, status: outcome, count },
  waitMs: { count },
  runMs: { count, ...times },
})
const usual = usualRun([row(30), row(10)])!

describe('tasks like this', () => {
  it('are the attempts that completed', () => {
    expect(usual).toMatchObject({ count: 40, p50: 1_000, p95: 4_000 })
    expect(usualRun([row(5, 'failed')])).toBeUndefined()
    expect(usualRun([])).toBeUndefined()
  })

  it('say where one lies', () => {
    expect(placeText(usual, 500, 'encode', false)).toBe('Faster than 75\u00a0% of encode')
    expect(placeText(usual, 1_000, 'encode', false)).toBe('Slower than 50\u00a0% of encode')
    expect(placeText(usual, 4_000, 'encode', false)).toBe('Slower than 95\u00a0% of encode')
    expect(placeText(usual, 60_000, 'encode', true)).toBe('Already slower than 99\u00a0% of encode')
    expect(placeText(usual, 0, 'encode', false)).toBe('Faster than 99\u00a0% of encode')
    expect(placeText(usual, 0, 'encode', true)).toBe('Within the usual time of encode')
  })

  it('say when a running one may end', () => {
    expect(usualEnd(usual, 400)).toMatchObject({ leftMs: 600, text: 'Half of them end within 1.00\u00a0s' })
    expect(usualEnd(usual, 1_500)).toMatchObject({ leftMs: 2_500 })
    expect(usualEnd(usual, 4_000)).toBeUndefined()
  })

  it('compare the latest attempt', () => {
    expect(latestRun(aTask.running(), EPOCH)).toBe(30_000)
    expect(latestRun(aTask.completed(), EPOCH)).toBe(25_000)
    expect(latestRun(aTask.pending(), EPOCH)).toBeUndefined()
  })
})
