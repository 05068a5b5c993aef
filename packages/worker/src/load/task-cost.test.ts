import { expect, test } from 'vitest'
import { TaskCost } from './task-cost.ts'

test('a task costs what the process has grown by, shared among those that run', () => {
  const cost = new TaskCost()
  expect(cost.bytes).toBe(0)
  cost.learn(100, 0)
  cost.learn(180, 4)
  expect(cost.bytes).toBe(20)
})

test('later figures count, but not all at once', () => {
  const cost = new TaskCost()
  cost.learn(100, 0)
  cost.learn(120, 1)
  cost.learn(220, 1)
  expect(cost.bytes).toBeCloseTo(40)
  for (let index = 0; index < 50; index += 1) cost.learn(220, 1)
  expect(cost.bytes).toBeCloseTo(120, 0)
})

test('there is no estimate before a reading of the idle process, and a process that shrank costs nothing', () => {
  const cost = new TaskCost()
  cost.learn(500, 2)
  cost.learn(undefined, 0)
  expect(cost.bytes).toBe(0)
  cost.learn(600, 0)
  cost.learn(500, 2)
  expect(cost.bytes).toBe(0)
})
