import fc from 'fast-check'
import { expect, test } from 'vitest'
import { UnbrokenWrites } from './unbroken-writes.ts'

test('a gap that is longer than wanted breaks it, a shorter one does not', () => {
  const writes = new UnbrokenWrites()
  expect(writes.lastFor(10, 0)).toBe(0)
  for (const at of [0, 5, 10, 40, 45]) writes.acknowledged(at)
  expect(writes.lastFor(10, 50)).toBe(10)
  expect(writes.lastFor(30, 50)).toBe(50)
  expect(writes.lastFor(4, 50)).toBe(0)
})

test('it agrees with a check of all writes, for any times', () => {
  const cases = fc.record({
    steps: fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 60 }),
    gap: fc.integer({ min: 0, max: 60 }),
    after: fc.integer({ min: 0, max: 60 }),
  })
  fc.assert(
    fc.property(cases, ({ steps, gap, after }) => {
      const writes = new UnbrokenWrites()
      const times: number[] = []
      for (const step of steps) {
        times.push((times.at(-1) ?? 0) + step)
        writes.acknowledged(times.at(-1)!)
      }
      const now = times.at(-1)! + after
      let since = now
      for (const time of [...times].reverse()) {
        if (since - time > gap) break
        since = time
      }
      expect(writes.lastFor(gap, now)).toBe(now - since)
    }),
  )
})
