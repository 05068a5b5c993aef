import { describe, expect, it } from 'vitest'
import { childrenOf, copyText, countTo, kindOf, pathText, sizeOf } from './json-tree.ts'

describe('a value as a tree', () => {
  it('names places as JavaScript does', () => {
    expect(pathText('input', ['files', 3, 'name'])).toBe('input.files[3].name')
    expect(pathText('input', ['odd name', '__proto__', '3', '"'])).toBe('input["odd name"].__proto__["3"]["\\""]')
    expect(pathText('output', [])).toBe('output')
  })

  it('has as many children as are asked for', () => {
    const many = Array.from({ length: 100_000 }, (_, index) => index)
    expect(childrenOf(many, 2)).toEqual([
      [0, 0],
      [1, 1],
    ])
    expect(childrenOf({ a: 1, b: 2 }, 1)).toEqual([['a', 1]])
    expect(childrenOf('text', 5)).toEqual([])
    expect([sizeOf(many), sizeOf({ a: 1 }), sizeOf(null), sizeOf('text')]).toEqual([100_000, 1, 0, 0])
  })

  it('takes names of an object’s own', () => {
    const hostile = JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}')
    expect(childrenOf(hostile, 9).map(([name]) => name)).toEqual(['__proto__', 'constructor'])
  })

  it('knows kinds', () => {
    expect([{}, [], '', 1, null, true, undefined].map(kindOf)).toEqual([
      ...['object', 'list', 'text', 'number'],
      ...['other', 'other', 'other'],
    ])
  })

  it('counts only as far as needed', () => {
    expect(countTo({ a: { b: { c: 1 } } }, 2, 100)).toBe(3)
    expect(
      countTo(
        Array.from({ length: 1_000 }, () => [1, 2, 3]),
        2,
        50,
      ),
    ).toBeGreaterThanOrEqual(50)
    let deep: unknown = 1
    for (let level = 0; level < 5_000; level += 1) deep = [deep]
    expect(countTo(deep, 2, 50)).toBe(3)
  })

  it('copies a text as it is, and everything else as JSON', () => {
    expect(copyText('a "b"')).toBe('a "b"')
    expect(copyText({ a: [1] })).toBe('{\n  "a": [\n    1\n  ]\n}')
    expect(copyText(undefined)).toBe('undefined')
  })
})
