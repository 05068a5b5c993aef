import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Suspects } from './suspects.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

const attempt = (lost: number) => ({ claim: { task: { lost } } })

/** Which of the tasks that none, one or two workers have died with may begin. */
const mayBegin = (suspects: Suspects): number[] => [0, 1, 2].filter((lost) => suspects.mayBegin(lost))

test('one that was lost once runs alone at first, and then only beside others that were lost once', () => {
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

test('one with its last attempt has no other suspect beside it, however long it takes', () => {
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

test('tasks without a loss are not suspects', () => {
  const onRoom = vi.fn()
  const suspects = new Suspects(onRoom)
  const good = attempt(0)
  suspects.began(good)
  expect(mayBegin(suspects)).toEqual([0, 1, 2])
  suspects.cleared(good)
  expect(onRoom).not.toHaveBeenCalled()
})
