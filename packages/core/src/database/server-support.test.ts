import { expect, test } from 'vitest'
import { arbiterWarning, type Hello, refuseServer } from './server-support.ts'

/** The wire version of MongoDB 7.0; 8.0 has 25, and 6.0 has 17. */
const MODERN = { setName: 'rs0', maxWireVersion: 21 }
const SET: Hello = { ...MODERN, hosts: ['a:1', 'b:1', 'c:1'] }
const codeOf = (uri: string, hello: Hello): string | undefined => {
  try {
    refuseServer(uri, hello)
    return undefined
  } catch (error) {
    return (error as { code: string }).code
  }
}

test('a replica set of MongoDB 7.0 or later is accepted', () => {
  for (const maxWireVersion of [21, 25, 27]) {
    expect(codeOf('mongodb://a', { ...SET, maxWireVersion })).toBeUndefined()
  }
})

test('a sharded cluster is rejected with the reason', () => {
  expect(() => refuseServer('mongodb://a', { msg: 'isdbgrid', maxWireVersion: 25 })).toThrow(/routers' clocks/)
  expect(codeOf('mongodb://a', { msg: 'isdbgrid' })).toBe('UNSUPPORTED_SERVER')
})

test('a standalone server and an old one are rejected', () => {
  expect(codeOf('mongodb://a', {})).toBe('NEEDS_REPLICA_SET')
  expect(codeOf('mongodb://a', { ...SET, maxWireVersion: 17 })).toBe('UNSUPPORTED_SERVER')
})

test('an address for a single member is rejected if the set has others', () => {
  const direct = 'mongodb://a/fleet?directConnection=true'
  expect(codeOf(direct, SET)).toBe('NEEDS_MAJORITY')
  expect(codeOf(direct, { ...MODERN, hosts: ['a:1'] })).toBeUndefined()
  expect(codeOf('mongodb://a/?directConnection=false', SET)).toBeUndefined()
})

test('an arbiter causes a warning', () => {
  expect(arbiterWarning(SET)).toBeUndefined()
  expect(arbiterWarning({ hosts: ['a:1', 'b:1'], arbiters: ['c:1'] })).toMatch(/2 members with data and 1 arbiter:/)
})
