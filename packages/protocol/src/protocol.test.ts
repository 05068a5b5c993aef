import { describe, expect, test } from 'vitest'
import {
  applyDelta,
  COLLECTIONS,
  hasEnded,
  PRIORITY_NAMES,
  STATUSES,
  type TaskLabel,
  type TaskStatus,
  taskLabels,
} from './protocol.ts'

const row = (_id: string, n = 0): { _id: string; n: number } => ({ _id, n })

describe('applyDelta', () => {
  const rows = [row('a'), row('b'), row('c'), row('d')]

  test('removes the rows in the delta, then inserts by ascending index', () => {
    const next = applyDelta(rows, {
      added: [
        { row: row('y'), index: 3 },
        { row: row('x'), index: 0 },
      ],
      changed: [{ row: row('a', 1), index: 2 }],
      removed: ['c', 'd'],
    })
    expect(next).toEqual([row('x'), row('b'), row('a', 1), row('y')])
  })

  test('does not change its argument, and rows that are not in the delta keep their identity', () => {
    const before = [...rows]
    const next = applyDelta(rows, { added: [], changed: [{ row: row('b', 1), index: 1 }], removed: ['zz'] })
    expect(rows).toEqual(before)
    expect(next.map((one, index) => one === rows[index])).toEqual([true, false, true, true])
  })

  test('a row that already exists is replaced and not duplicated', () => {
    expect(applyDelta(rows, { added: [{ row: row('d', 1), index: 0 }], changed: [], removed: [] })).toEqual([
      row('d', 1),
      row('a'),
      row('b'),
      row('c'),
    ])
  })

  test('an empty delta is a copy', () => {
    const next = applyDelta(rows, { added: [], changed: [], removed: [] })
    expect(next).toEqual(rows)
    expect(next).not.toBe(rows)
  })
})

describe('hasEnded', () => {
  const ended: Record<TaskStatus, boolean> = {
    pending: false,
    running: false,
    paused: false,
    blocked: false,
    completed: true,
    failed: true,
    cancelled: true,
  }
  test.each(STATUSES)('%s', (status) => {
    expect(hasEnded(status)).toBe(ended[status])
  })
})

describe('taskLabels', () => {
  const now = Date.parse('2026-01-31T12:00:00Z')
  const before = '2026-01-31T11:59:59Z'
  const after = '2026-01-31T12:00:01Z'

  const waiting: Record<TaskStatus, TaskLabel[]> = {
    pending: ['scheduled'],
    running: [],
    paused: [],
    blocked: [],
    completed: [],
    failed: [],
    cancelled: [],
  }
  test.each(STATUSES)('a first run that is ahead: %s', (status) => {
    expect(taskLabels({ status, runAt: after, attempt: 0 }, now)).toEqual(waiting[status])
  })

  test.each(STATUSES)('a deadline that has passed: %s', (status) => {
    const labels = taskLabels({ status, runAt: before, attempt: 0, deadline: before }, now)
    expect(labels).toEqual(hasEnded(status) ? [] : ['overdue'])
  })

  test('a task that was tried waits for its retry, for any time', () => {
    expect(taskLabels({ status: 'pending', runAt: after, attempt: 1 }, now)).toEqual(['retrying'])
    expect(taskLabels({ status: 'pending', runAt: before, attempt: 2, deadline: before }, now)).toEqual([
      'retrying',
      'overdue',
    ])
  })

  test('a due task has no label, and the exact moment counts as reached', () => {
    expect(taskLabels({ status: 'pending', runAt: before, attempt: 0, deadline: after }, now)).toEqual([])
    const atNow = new Date(now).toISOString()
    expect(taskLabels({ status: 'pending', runAt: atNow, attempt: 0, deadline: atNow }, now)).toEqual(['overdue'])
  })
})

test('the three names of priorities and the collections are what the contract says', () => {
  expect(PRIORITY_NAMES).toEqual({ low: 2, medium: 5, high: 8 })
  expect(COLLECTIONS).toEqual(['tasks', 'workers', 'queues', 'schedules', 'events', 'errors'])
})
