import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Segment, SegmentMap } from './segment-map.ts'

const TOTAL = 100
const MIB = 2 ** 20
/** So much that a half that begins is far enough ahead. */
const UNIT = 2 ** 18
/** Halves begin at multiples of it. */
const GRAIN = 2 ** 17

describe('SegmentMap', () => {
  it('joins spans that touch', () => {
    const map = new SegmentMap([
      { from: 10, to: 20 },
      { from: 30, to: 40 },
      { from: 50, to: 50 },
    ])
    map.add(20, 30)
    expect(map.beyond(0)).toEqual([{ from: 10, to: 40 }])
    expect(map.wholeTo(15)).toBe(40)
    expect(map.wholeTo(40)).toBe(40)
    expect(map.beyond(15)).toEqual([{ from: 15, to: 40 }])
    expect(map.bytesBeyond(35)).toBe(5)
  })

  it('claims up to the next bytes that are there or on their way', () => {
    const map = new SegmentMap([{ from: 60, to: 70 }])
    expect(map.claim(0, TOTAL)).toMatchObject({ from: 0, to: 60 })
    expect(map.isRunning(59)).toBe(true)
    expect(map.isRunning(60)).toBe(false)
  })

  it('gives the largest hole, and then half of the longest rest', () => {
    const map = new SegmentMap([{ from: 6 * MIB, to: 7 * MIB }])
    const first = map.claim(0, 10 * MIB)
    expect(map.split(0, 10 * MIB, MIB)).toMatchObject({ from: 7 * MIB, to: 10 * MIB })
    first.at = 2 * MIB
    const half = map.split(first.at, 10 * MIB, MIB)!
    expect(half).toMatchObject({ from: 4 * MIB, to: 6 * MIB })
    expect(map.split(first.at, 10 * MIB, 2 * MIB)).toBeUndefined()
    expect(first.to).toBe(6 * MIB)
    expect(map.begin(half)).toBe(true)
    expect(first.to).toBe(4 * MIB)
  })

  it('leaves a half to the connection that has come to it before', () => {
    const map = new SegmentMap()
    const first = map.claim(0, 10 * MIB)
    const half = map.split(0, 10 * MIB, MIB)!
    first.at = half.from - 1000
    expect(map.begin(half)).toBe(false)
    expect(first.to).toBe(10 * MIB)
    map.end(half)
    expect(map.split(first.at, 10 * MIB, MIB)?.from).toBeGreaterThanOrEqual((first.at + first.to) / 2)
  })

  it('gives every byte to one connection, whatever begins and ends when', () => {
    const total = 64
    const step = fc.record({
      kind: fc.constantFrom('split', 'begin', 'bring', 'end'),
      which: fc.nat(9),
      units: fc.integer({ min: 1, max: 24 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const map = new SegmentMap()
        const brought = Array.from({ length: (total * UNIT) / GRAIN }, () => 0)
        const running: Segment[] = [map.claim(0, total * UNIT)]
        const requested: Segment[] = []
        const begin = (segment: Segment) => {
          requested.splice(requested.indexOf(segment), 1)
          if (map.begin(segment)) running.push(segment)
          else map.end(segment)
        }
        const bring = (segment: Segment, units: number) => {
          const from = segment.at
          segment.at = Math.min(segment.to, from + units * UNIT)
          for (let at = from; at < segment.at; at += GRAIN) brought[at / GRAIN]! += 1
          map.add(from, segment.at)
          if (segment.at >= segment.to) end(segment)
        }
        const end = (segment: Segment) => {
          map.end(segment)
          running.splice(running.indexOf(segment), 1)
        }
        const split = () => map.split(map.wholeTo(0), total * UNIT, 2 * UNIT)
        for (const { kind, which, units } of steps) {
          const one = running[which % Math.max(1, running.length)]
          const other = requested[which % Math.max(1, requested.length)]
          if (kind === 'split') requested.push(...[split() ?? []].flat())
          else if (kind === 'begin' && other) begin(other)
          else if (kind === 'bring' && one) bring(one, units)
          else if (kind === 'end' && one) end(one)
        }
        while (map.wholeTo(0) < total * UNIT) {
          if (requested[0]) begin(requested[0])
          else if (running[0]) bring(running[0], total)
          else requested.push(split()!)
        }
        expect(brought).toEqual(Array.from({ length: (total * UNIT) / GRAIN }, () => 1))
      }),
    )
  })
})
