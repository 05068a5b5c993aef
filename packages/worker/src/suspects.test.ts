import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Suspects } from './suspects.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

const attempt = (lost: number) => ({ claim: { task: { lost } } })

/** Which of the tasks that none, one or two workers have died with may begin. */
const mayBegin = (suspects: Suspects): number[] => [0, 1, 2].filter((lost) => suspects.mayBegin(lost))

test('one that was lost once is tried alone first, and then no more than its like beside it', () => {
  const onRoom = vi.fn()
  const suspects = new Suspects(onRoom)
  expect(mayBegin(suspects)).toEqual([0, 1, 2])
  const [first, second] = [attempt(1), attempt(1)]
  suspects.began(first)
  expect(mayBegin(suspects)).toEqual([0])
  vi.advanceTimersByTime(3_000)
  expect(onRoom).toHaveBeenCalledTimes(1)
  expect(mayBegin(suspects)).toEqual([0, 1])
  suspects.began(second)
  expect(mayBegin(suspects)).toEqual([0])
  suspects.cleared(second)
  expect(mayBegin(suspects)).toEqual([0, 1])
  suspects.cleared(first)
  expect(mayBegin(suspects)).toEqual([0, 1, 2])
})

test('one with its last chance has no other suspect beside it, however long it takes', () => {
  const onRoom = vi.fn()
  const suspects = new Suspects(onRoom)
  const last = attempt(2)
  suspects.began(last)
  vi.advanceTimersByTime(3_600_000)
  expect(mayBegin(suspects)).toEqual([0])
  expect(onRoom).not.toHaveBeenCalled()
  suspects.cleared(last)
  expect(onRoom).toHaveBeenCalledTimes(1)
  expect(mayBegin(suspects)).toEqual([0, 1, 2])
})

test('tasks that nobody has died with are nothing to it', () => {
  const onRoom = vi.fn()
  const suspects = new Suspects(onRoom)
  const good = attempt(0)
  suspects.began(good)
  expect(mayBegin(suspects)).toEqual([0, 1, 2])
  suspects.cleared(good)
  expect(onRoom).not.toHaveBeenCalled()
})
