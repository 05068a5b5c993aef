import { describe, expect, it } from 'vitest'
import { joinLog, mergeNewest } from './join-log.ts'

const live = (seq: number, at = `t${seq}`) => ({ seq, at, level: 'info' as const, message: `line ${seq}` })
const stored = (attempt: number, seq: number, at?: string) => ({ ...live(seq, at), attempt })
const places = (lines: readonly { attempt: number; seq: number }[]) =>
  lines.map(({ attempt, seq }) => `${attempt}.${seq}`)

describe('joinLog', () => {
  it('adds lines that only the socket has sent, once', () => {
    const joined = joinLog([stored(1, 1), stored(1, 2)], [live(2), live(3)], 1)
    expect(places(joined)).toEqual(['1.1', '1.2', '1.3'])
  })

  it('tells attempts apart where numbers begin again', () => {
    const joined = joinLog([stored(1, 1, 'a')], [live(2, 'b'), live(1, 'c'), live(2, 'd')], 2)
    expect(places(joined)).toEqual(['1.1', '1.2', '2.1', '2.2'])
  })
})

describe('mergeNewest', () => {
  it('keeps older lines where the newest page touches them', () => {
    const { lines, gap } = mergeNewest([stored(1, 1), stored(1, 2)], [stored(1, 2), stored(1, 3)])
    expect([places(lines), gap]).toEqual([['1.1', '1.2', '1.3'], false])
  })

  it('begins anew where lines between are missing', () => {
    const { lines, gap } = mergeNewest([stored(1, 1)], [stored(1, 9)])
    expect([places(lines), gap]).toEqual([['1.9'], true])
  })
})
