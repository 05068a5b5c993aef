import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Frames } from './frames.ts'

describe('frames', () => {
  test('allow a few messages at once, then one in each frame', () => {
    const frames = new Frames(50, 3)
    const waits: number[] = []
    let now = 1_000
    for (let n = 0; n < 6; n += 1) {
      const wait = frames.wait(now)
      waits.push(wait)
      now += wait
      frames.take(now)
    }
    expect(waits).toEqual([0, 0, 0, 50, 50, 50])
  })

  test('after a pause, allow as many messages at once as it had frames', () => {
    const frames = new Frames(50, 3)
    for (let n = 0; n < 3; n += 1) frames.take(1_000)
    expect(frames.wait(1_000)).toBe(50)
    expect(frames.wait(1_020)).toBe(30)
    frames.take(1_050)
    expect([frames.wait(1_150), frames.wait(1_150)]).toEqual([0, 0])
    frames.take(1_150)
    frames.take(1_150)
    expect(frames.wait(1_150)).toBe(50)
  })

  test('of no length hold nothing back', () => {
    const frames = new Frames(0, 3)
    for (let n = 0; n < 10; n += 1) {
      expect(frames.wait(5)).toBe(0)
      frames.take(5)
    }
  })

  test('never allow more than one in each frame and the initial few', () => {
    const gaps = fc.array(fc.double({ min: 0, max: 200, noNaN: true }), { minLength: 1, maxLength: 100 })
    fc.assert(
      fc.property(gaps, (asked) => {
        const frames = new Frames(50, 3)
        const startedAt = 1_000
        let now = startedAt
        for (const [sent, gap] of asked.entries()) {
          now += gap
          now += frames.wait(now)
          frames.take(now)
          expect(sent + 1).toBeLessThanOrEqual(3 + (now - startedAt) / 50 + 1e-6)
        }
      }),
    )
  })
})
