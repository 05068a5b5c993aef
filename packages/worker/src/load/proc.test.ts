import { expect, test } from 'vitest'
import { parseMeminfo, parseProcStat } from './proc.ts'

test('time stolen counts as busy, time spent waiting for a disk as idle', () => {
  const text = 'cpu  100 10 50 800 30 3 2 5 40 0\ncpu0 50 5 25 400 15 1 1 2 20 0\nintr 1 2 3\n'
  expect(parseProcStat(text)).toEqual({ busy: 170, total: 1_000 })
})

test('an old kernel with four columns is understood', () => {
  expect(parseProcStat('cpu  1 2 3 4\n')).toEqual({ busy: 6, total: 10 })
})

test.each(['', 'cpu', 'cpu  1 2', 'cpu0 1 2 3 4', 'cpu  a b c d'])('%j is no statistic', (text) => {
  expect(parseProcStat(text)).toBeUndefined()
})

const meminfo =
  'MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    4000000 kB\nBuffers:           20000 kB\n'

test('free memory is what the kernel calls available', () => {
  expect(parseMeminfo(meminfo)).toEqual({ left: 0.25, bytes: 4_000_000 * 1_024 })
})

test('on an old kernel, free, buffered and cached memory are added up', () => {
  const old = 'MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 150 kB\nSwapCached: 7 kB\n'
  expect(parseMeminfo(old)).toEqual({ left: 0.3, bytes: 300 * 1_024 })
})

test.each(['', 'MemTotal: 100 kB\n', 'MemTotal: 0 kB\nMemAvailable: 0 kB\n', 'garbage'])('%j is no answer', (text) => {
  expect(parseMeminfo(text)).toBeUndefined()
})
