import { expect, test } from 'vitest'
import { formatBytes, parseBytes } from './bytes.ts'

test('a size is a number of bytes or a text with a unit, by 1000 or by 1024', () => {
  expect([0, 512, '100B', '5GB', '1.5 MB', '2kb', '1TB', '1KiB', '3 GiB'].map((size) => parseBytes(size))).toEqual([
    0,
    512,
    100,
    5_000_000_000,
    1_500_000,
    2_000,
    1_000_000_000_000,
    1_024,
    3 * 1_024 ** 3,
  ])
})

test.each([
  -1,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  '',
  '5',
  'GB',
  '5 XB',
  '-5GB',
  '5GB!',
  '1e3MB',
  '9e9TB',
  '99999999TB',
])('%s is refused', (size) => {
  expect(() => parseBytes(size)).toThrow(expect.objectContaining({ code: 'BAD_SIZE' }))
})

test('a value that is no text is rejected too', () => {
  for (const size of [null, undefined, {}, true, 5n]) {
    expect(() => parseBytes(size as never)).toThrow(expect.objectContaining({ code: 'BAD_SIZE' }))
  }
})

test('the error names the value, the remedy and the field', () => {
  expect(() => parseBytes('5 apples', 'disk.minFree')).toThrow(
    expect.objectContaining({ field: 'disk.minFree', message: expect.stringMatching(/'5 apples'.*500MB/) }),
  )
})

test('bytes read as people write them', () => {
  expect([0, 999, 1_000, 3_100_000_000, 5e9, 999_960, 2.25e12].map(formatBytes)).toEqual([
    '0 B',
    '999 B',
    '1 KB',
    '3.1 GB',
    '5 GB',
    '1 MB',
    '2.3 TB',
  ])
})
