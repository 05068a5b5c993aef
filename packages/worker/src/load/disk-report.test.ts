import { expect, test } from 'vitest'
import { diskReport } from './disk-report.ts'

const at = (free: number, total = 1e12) => new Map([['/srv', { free, total }]])

test('a figure stays until it has changed by more than 1 %', () => {
  const first = diskReport(undefined, at(100e9))
  expect(first).toEqual([{ folder: '/srv', free: 100e9, total: 1e12 }])
  const second = diskReport(first, at(99.2e9))
  expect(second![0]).toBe(first![0])
  expect(diskReport(second, at(98.9e9))).toEqual([{ folder: '/srv', free: 98.9e9, total: 1e12 }])
  expect(diskReport(second, at(100e9, 2e12))).toEqual([{ folder: '/srv', free: 100e9, total: 2e12 }])
})

test('a full disk is news, and one that is no longer full', () => {
  const full = diskReport(undefined, at(0))
  expect(full).toEqual([{ folder: '/srv', free: 0, total: 1e12 }])
  expect(diskReport(full, at(4_096))![0]!.free).toBe(4_096)
})

test('folders come and go', () => {
  const two = diskReport(
    undefined,
    new Map([
      ['/a', { free: 1, total: 2 }],
      ['/b', { free: 3, total: 4 }],
    ]),
  )
  expect(two!.map(({ folder }) => folder)).toEqual(['/a', '/b'])
  expect(diskReport(two, new Map([['/b', { free: 3, total: 4 }]]))).toEqual([{ folder: '/b', free: 3, total: 4 }])
  expect(diskReport(two, new Map())).toBeUndefined()
})
