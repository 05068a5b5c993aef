import { describe, expect, it } from 'vitest'
import { aTask, EPOCH, iso } from '../testing/rows.ts'
import { deadlineState, deadlineText } from './deadline.ts'

const MINUTE = 60_000
const at = (minutes: number) => iso(EPOCH + minutes * MINUTE)
const plain = (text: string) => text.replaceAll('\u00a0', ' ')

describe('deadlineState', () => {
  it('is ahead until its nearness raises the priority', () => {
    const task = aTask.pending({ deadline: at(10), raiseAt: at(9) })
    expect(deadlineState(task, EPOCH)).toBe('ahead')
    expect(deadlineState(task, EPOCH + 9 * MINUTE)).toBe('at-risk')
    expect(deadlineState(aTask.pending(), EPOCH)).toBeUndefined()
  })

  it('is at risk once the next raise is the deadline itself, also where nothing was left to raise', () => {
    expect(deadlineState(aTask.pending({ deadline: at(1), raiseAt: at(1) }), EPOCH)).toBe('at-risk')
    expect(deadlineState(aTask.running({ deadline: at(1), priority: 8 }), EPOCH)).toBe('at-risk')
  })

  it('is missed by the server’s word or by the clock, and met by a task that ended before it', () => {
    expect(deadlineState(aTask.running({ deadline: at(5), deadlineMissedAt: at(5) }), EPOCH)).toBe('missed')
    expect(deadlineState(aTask.running({ deadline: at(-1) }), EPOCH)).toBe('missed')
    expect(deadlineState(aTask.completed({ deadline: at(-1), finishedAt: at(-2) }), EPOCH)).toBe('met')
    expect(deadlineState(aTask.completed({ deadline: at(-2), finishedAt: at(-1) }), EPOCH)).toBe('missed')
  })

  it('is described in words', () => {
    expect(plain(deadlineText(aTask.pending({ deadline: at(10) }), EPOCH))).toBe('in 10 m 00 s')
    expect(plain(deadlineText(aTask.pending({ deadline: at(-2) }), EPOCH))).toBe('missed by 2 m 00 s')
    const met = aTask.completed({ deadline: at(-1), finishedAt: at(-2) })
    expect(plain(deadlineText(met, EPOCH))).toBe('met with 1 m 00 s to spare')
    expect(deadlineText(aTask.pending(), EPOCH)).toBe('')
  })
})
