import { mongo, Types } from 'mongoose'
import { describe, expect, test } from 'vitest'
import { toFullRow, toRow, toWire } from './wire.ts'

const id = new Types.ObjectId('65f000000000000000000001')

describe('a value on the wire', () => {
  test.each<[string, unknown, unknown]>([
    ['an id is its hex', id, '65f000000000000000000001'],
    ['a date is ISO 8601', new Date(0), '1970-01-01T00:00:00.000Z'],
    ['an invalid date is null', new Date(Number.NaN), null],
    ['what is no number in JSON is a text', [Number.NaN, Number.NEGATIVE_INFINITY], ['NaN', '-Infinity']],
    ['a wide number is a text', [mongo.Long.MAX_VALUE, 2n ** 64n], ['9223372036854775807', '18446744073709551616']],
    ['a binary is base64', new mongo.Binary(Buffer.from('a')), 'YQ=='],
    ['so are bytes that are not stored yet', new Uint8Array([97]), 'YQ=='],
    ['what is undefined is left out', { a: undefined, b: { c: null } }, { b: { c: null } }],
  ])('%s', (_name, value, expected) => {
    expect(toWire(value)).toEqual(expected)
  })

  test('hostile keys of a document are ordinary keys', () => {
    const hostile = JSON.parse('{"__proto__": {"x": 1}, "toJSON": 2, "_bsontype": "ObjectId", "constructor": {}}')
    const sent = toWire(hostile)
    expect(JSON.stringify(sent)).toBe(JSON.stringify(hostile))
    expect(Object.getPrototypeOf(sent)).toBe(Object.prototype)
  })
})

describe('a row', () => {
  const doc = {
    _id: id,
    name: 'n',
    rev: 3,
    input: { a: 1, files: [{ name: 'x', size: 1 }, 5] },
    attempts: [{ n: 1, lease: 'secret' }, null],
    lease: { id: 'secret' },
    signature: 'secret',
  }

  test('leaves out heavy fields and the proof of a claim', () => {
    expect(toRow('tasks', doc)).toEqual({ _id: id.toHexString(), name: 'n', rev: 3 })
  })

  test('has the requested fields, its id and its rev', () => {
    expect(toRow('tasks', doc, ['input.files.name', 'input.a.b', 'attempts', 'none'])).toEqual({
      _id: id.toHexString(),
      rev: 3,
      input: { files: [{ name: 'x' }] },
      attempts: [{ n: 1 }, null],
    })
  })

  test('never shows a secret, even if it or the whole document is requested', () => {
    expect(JSON.stringify(toRow('tasks', doc, ['lease', 'lease.id', 'signature', 'attempts']))).not.toContain('secret')
    expect(toFullRow('tasks', doc)).toEqual({
      _id: id.toHexString(),
      name: 'n',
      rev: 3,
      input: doc.input,
      attempts: [{ n: 1 }, null],
    })
  })
})
