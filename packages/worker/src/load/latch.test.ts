import { expect, test } from 'vitest'
import { Latch, type Standing } from './latch.ts'

const closedAfter = (readings: readonly Standing[], options: { eager?: boolean } = {}): boolean => {
  const latch = new Latch({ closeAfter: 2, openAfter: 3, eager: false, ...options })
  for (const standing of readings) latch.update(standing)
  return latch.closed
}

test('it closes after readings over the threshold in a row, not after single ones', () => {
  expect(closedAfter(['over'])).toBe(false)
  expect(closedAfter(['over', 'near', 'over', 'clear', 'over'])).toBe(false)
  expect(closedAfter(['over', 'over'])).toBe(true)
})

test('it opens after clear readings in a row; the margin holds it closed', () => {
  expect(closedAfter(['over', 'over', 'clear', 'clear'])).toBe(true)
  expect(closedAfter(['over', 'over', 'clear', 'clear', 'near', 'clear'])).toBe(true)
  expect(closedAfter(['over', 'over', 'near', 'near', 'near', 'near', 'near'])).toBe(true)
  expect(closedAfter(['over', 'over', 'clear', 'clear', 'clear'])).toBe(false)
})

test('the first reading of a level counts at once, later ones must be confirmed', () => {
  expect(closedAfter(['over'], { eager: true })).toBe(true)
  expect(closedAfter(['unknown', 'over'], { eager: true })).toBe(true)
  expect(closedAfter(['clear', 'over'], { eager: true })).toBe(false)
  expect(closedAfter(['over', 'clear', 'clear', 'clear', 'over'], { eager: true })).toBe(false)
})

test('a measure that can no longer be read holds nothing back', () => {
  expect(closedAfter(['over', 'over', 'unknown', 'unknown', 'unknown'])).toBe(false)
})
