import { expect, test } from 'vitest'
import { ClaimAhead } from './claim-ahead.ts'

function measured(...times: [name: string, ms: number][]): ClaimAhead {
  const ahead = new ClaimAhead()
  for (const [name, ms] of times) ahead.ended(name, ms)
  return ahead
}
const often = (name: string, ms: number): [string, number][] => Array.from({ length: 10 }, () => [name, ms])

test('nothing is claimed ahead until a few handlers have ended', () => {
  expect(measured(['a', 1], ['a', 1], ['a', 1], ['a', 1]).most(4)).toBe(0)
  expect(measured(...often('a', 1)).most(4)).toBe(200)
})

test.each([
  [0, 4, 200],
  [10, 4, 40],
  [50, 4, 8],
  [90, 1, 1],
  [101, 1, 0],
  [60_000, 4, 0],
])('handlers of %d ms on %d slots: %d ahead', (ms, slots, most) => {
  expect(measured(...often('a', ms)).most(slots)).toBe(most)
})

test('only names whose handlers are short may wait', () => {
  const ahead = measured(...often('short', 5), ...often('long', 5_000))
  expect(['short', 'long', 'unknown'].map((name) => ahead.mayWait(name))).toEqual([true, false, false])
})

test('a name whose handlers get longer is no longer claimed ahead', () => {
  const ahead = measured(...often('a', 5), ['a', 2_000])
  expect(ahead.mayWait('a')).toBe(false)
})

test('after a task has waited for too long, nothing is claimed ahead until a handler ends', () => {
  const ahead = measured(...often('a', 5))
  ahead.stuck()
  expect([ahead.most(4), ahead.mayWait('a')]).toEqual([0, false])
  ahead.ended('a', 5)
  expect([ahead.most(4) > 0, ahead.mayWait('a')]).toEqual([true, true])
})
