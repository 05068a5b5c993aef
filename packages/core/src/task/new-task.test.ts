import { describe, expect, test } from 'vitest'
import { parseNewTask } from './new-task.ts'

const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) })

describe('a request to enqueue', () => {
  test('gets its defaults', () => {
    expect(parseNewTask({ name: 'import' })).toMatchObject({
      name: 'import',
      version: 1,
      input: {},
      queue: 'default',
      priority: 5,
      position: 'back',
      lazy: false,
      maxAttempts: 5,
    })
  })

  test('takes the three names of priorities and any number from 1 to 10', () => {
    const priorities = ['low', 'medium', 'high', 1, 10].map(
      (priority) => parseNewTask({ name: 'x', priority }).priority,
    )
    expect(priorities).toEqual([2, 5, 8, 1, 10])
  })

  test.each<[string, unknown, string, string | undefined]>([
    ['nothing', undefined, 'BAD_REQUEST', undefined],
    ['a list', [], 'BAD_REQUEST', undefined],
    ['no name', {}, 'BAD_NAME', 'name'],
    ['a name with a path', { name: '../../x' }, 'BAD_NAME', 'name'],
    ['a name of 10 KB', { name: 'x'.repeat(10_240) }, 'BAD_NAME', 'name'],
    ['a field that is ours', { name: 'x', status: 'completed' }, 'READ_ONLY_FIELD', 'status'],
    ['a lease', { name: 'x', lease: {} }, 'READ_ONLY_FIELD', 'lease'],
    ['a field that tasks lack', { name: 'x', colour: 'red' }, 'UNKNOWN_FIELD', 'colour'],
    ['an id as a filter', { name: 'x', _id: { $ne: null } }, 'BAD_ID', '_id'],
    ['23 digits', { name: 'x', _id: 'f'.repeat(23) }, 'BAD_ID', '_id'],
    ['priority 11', { name: 'x', priority: 11 }, 'OUT_OF_RANGE', 'priority'],
    ['priority NaN', { name: 'x', priority: Number.NaN }, 'OUT_OF_RANGE', 'priority'],
    ['priority "5"', { name: 'x', priority: '5' }, 'OUT_OF_RANGE', 'priority'],
    ['maxAttempts 0', { name: 'x', maxAttempts: 0 }, 'OUT_OF_RANGE', 'maxAttempts'],
    ['maxAttempts 51', { name: 'x', maxAttempts: 51 }, 'OUT_OF_RANGE', 'maxAttempts'],
    ['a date that is none', { name: 'x', runAt: 'soon' }, 'BAD_DATE', 'runAt'],
    ['a date as a number', { name: 'x', runAt: 1 }, 'BAD_DATE', 'runAt'],
    ['the year 275761', { name: 'x', deadline: '+275761-01-01T00:00:00Z' }, 'BAD_DATE', 'deadline'],
    ['an operator as a key', { name: 'x', input: { a: { $gt: 1 } } }, 'BAD_INPUT', 'input.a.$gt'],
    ['a dotted key', { name: 'x', input: { 'a.b': 1 } }, 'BAD_INPUT', 'input.a.b'],
    ['an empty key', { name: 'x', input: { '': 1 } }, 'BAD_INPUT', 'input.'],
    ['a prototype', { name: 'x', input: JSON.parse('{"__proto__":{"y":1}}') }, 'BAD_INPUT', 'input.__proto__'],
    ["the driver's own mark", { name: 'x', input: { _bsontype: 'Long' } }, 'BAD_INPUT', 'input._bsontype'],
    ['a function', { name: 'x', input: { call: () => 1 } }, 'BAD_INPUT', 'input.call'],
    ['a thousand levels', { name: 'x', input: nested(1_000) }, 'BAD_INPUT', undefined],
    ['an odd id to wait for', { name: 'x', after: ['f'.repeat(24), 7] }, 'BAD_ID', 'after.1'],
    ['too many to wait for', { name: 'x', after: Array(101).fill('f'.repeat(24)) }, 'OUT_OF_RANGE', 'after'],
    ['an odd ifFailed', { name: 'x', after: 'f'.repeat(24), ifFailed: 'explode' }, 'BAD_VALUE', 'ifFailed'],
    ['ifFailed alone', { name: 'x', after: [], ifFailed: 'run' }, 'BAD_VALUE', 'ifFailed'],
    ['after with a debounce', { name: 'x', after: 'f'.repeat(24), key: 'k', debounce: 5 }, 'BAD_VALUE', 'debounce'],
    ['more than 256 KiB', { name: 'x', input: { text: 'x'.repeat(257 * 1024) } }, 'INPUT_TOO_LARGE', 'input'],
  ])('is refused with %s', (_what, request, code, field) => {
    expect(() => parseNewTask(request)).toThrow(
      expect.objectContaining(field === undefined ? { code } : { code, field }),
    )
  })

  test('leaves no trace in prototypes', () => {
    expect(() => parseNewTask({ name: 'x', input: { constructor: { prototype: { polluted: 1 } } } })).not.toThrow()
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })
})

test.each([
  ['\ud800', 'BAD_STRING'],
  ['a\udc00b', 'BAD_STRING'],
  ['', 'BAD_VALUE'],
  ['x'.repeat(257), 'BAD_VALUE'],
])('the key %j is refused with %s', (key, code) => {
  expect(() => parseNewTask({ name: 'x', key })).toThrow(expect.objectContaining({ code, field: 'key' }))
})

test.each(['$where', 'a.b', '\0', 'e\u0301', '__proto__', ' a', '😀'.repeat(100)])(
  'the key %j is taken as it is',
  (key) => {
    expect(parseNewTask({ name: 'x', key }).key).toBe(key)
  },
)
