import { describe, expect, it } from 'vitest'
import { ProgressTrack, ratioOf } from './progress-track.ts'
import { EPOCH, iso } from './testing/fake-client.ts'

function feed(track: ProgressTrack, reports: [seconds: number, done: number][], total = 1_000): number {
  let now = EPOCH
  for (const [seconds, done] of reports) {
    now = EPOCH + seconds * 1_000
    track.push({ done, total, unit: 'bytes', at: iso(now) }, now)
  }
  return now
}

describe('ProgressTrack', () => {
  it('finds a steady rate and the time left', () => {
    const track = new ProgressTrack()
    const now = feed(track, [
      [0, 0],
      [1, 100],
      [2, 200],
      [3, 300],
    ])
    expect(track.rate(now)).toBeCloseTo(100)
    expect(track.secondsLeft(now)).toBeCloseTo(7)
  })

  it('has no rate after a single report', () => {
    const track = new ProgressTrack()
    const now = feed(track, [[0, 500]])
    expect(track.rate(now)).toBeUndefined()
    expect(track.secondsLeft(now)).toBeUndefined()
  })

  it('follows a change of rate without jumping to it', () => {
    const track = new ProgressTrack()
    const now = feed(track, [
      [0, 0],
      [1, 100],
      [2, 400],
    ])
    expect(track.rate(now)).toBeGreaterThan(100)
    expect(track.rate(now)).toBeLessThan(300)
  })

  it('never shows a negative rate when a task begins again from zero', () => {
    const track = new ProgressTrack()
    const now = feed(track, [
      [0, 0],
      [1, 500],
      [2, 10],
      [3, 510],
    ])
    expect(track.rate(now)).toBeCloseTo(500)
  })

  it('keeps its rate across attempts and takes the next host’s clock, even one that is behind', () => {
    const track = new ProgressTrack()
    feed(track, [
      [100, 0],
      [101, 100],
    ])
    track.rebase()
    const now = EPOCH + 102_000
    expect(track.push({ done: 100, total: 1_000, at: iso(EPOCH - 3_600_000) }, now)).toBe(true)
    expect(track.rate(now)).toBeCloseTo(100)
    expect(track.latest?.done).toBe(100)
  })

  it('ignores older reports', () => {
    const track = new ProgressTrack()
    feed(track, [
      [0, 0],
      [2, 200],
    ])
    expect(track.push({ done: 100, total: 1_000, at: iso(EPOCH + 1_000) }, EPOCH + 2_100)).toBe(false)
    expect(track.latest?.done).toBe(200)
  })

  it('lets the rate fade once reports stay away', () => {
    const track = new ProgressTrack()
    const now = feed(track, [
      [0, 0],
      [1, 100],
    ])
    expect(track.rate(now + 2_000)).toBeCloseTo(100)
    expect(track.rate(now + 20_000)).toBeLessThan(1)
  })

  it('remembers at most ten minutes of points, two a second', () => {
    const track = new ProgressTrack()
    for (let i = 0; i < 10_000; i++) track.push({ done: i, at: iso(EPOCH + i * 100) }, EPOCH + i * 100)
    expect(track.points.length).toBeLessThanOrEqual(1_200)
    const [a, b] = track.points
    expect((b?.at ?? 0) - (a?.at ?? 0)).toBeGreaterThanOrEqual(400)
  })

  it('clamps a handler’s ratio to 0 to 1', () => {
    expect(ratioOf({ done: 30, total: 20, at: '' })).toBe(1)
    expect(ratioOf({ ratio: -3, at: '' })).toBe(0)
    expect(ratioOf({ ratio: Number.NaN, at: '' })).toBeUndefined()
    expect(ratioOf({ done: 3, total: 0, at: '' })).toBeUndefined()
    expect(ratioOf({ done: 5, total: 20, at: '' })).toBe(0.25)
  })
})
