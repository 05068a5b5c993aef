import { describe, expect, test } from 'vitest'
import { whyBlocked } from './address-guard.ts'

const blocked = [
  ...[
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.1',
    '10.255.255.255',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
  ],
  ...[
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.168.1.1',
    '198.18.0.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
  ],
  ...[
    '::',
    '::1',
    '::7f00:1',
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '::ffff:a00:1',
    '64:ff9b::7f00:1',
    '64:ff9b::10.0.0.1',
  ],
  ...[
    '64:ff9b:1::1',
    'fc00::1',
    'fdff::1',
    'fe80::1',
    'febf::1',
    'fec0::1',
    'ff02::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '2001::1',
  ],
]
const open = [
  '1.1.1.1',
  '8.8.8.8',
  '172.15.0.1',
  '172.32.0.1',
  '100.128.0.1',
  '169.253.0.1',
  '2606:4700::1111',
  '::ffff:8.8.8.8',
  '64:ff9b::808:808',
]

describe('addresses', () => {
  test.each(blocked)('%s is not dialled', (address) => {
    expect(whyBlocked(address, 80, {})).toBeTypeOf('string')
  })

  test.each(open)('%s is dialled', (address) => {
    expect(whyBlocked(address, 80, {})).toBeUndefined()
  })

  test('private ones may be allowed, but never link-local ones', () => {
    const allowed = blocked.filter((address) => whyBlocked(address, 80, { allowPrivate: true }) !== undefined)
    expect(allowed).toEqual(['169.254.169.254', 'fe80::1', 'febf::1'])
  })

  test('the worker names addresses of its own that are refused in any case', () => {
    const options = { allowPrivate: true, blockedAddresses: ['127.0.0.1:27017', '10.1.1.1', '[::1]:27017'] }
    expect(whyBlocked('127.0.0.1', 27017, options)).toBeTypeOf('string')
    expect(whyBlocked('::1', 27017, options)).toBeTypeOf('string')
    expect(whyBlocked('10.1.1.1', 80, options)).toBeTypeOf('string')
    expect(whyBlocked('127.0.0.1', 80, options)).toBeUndefined()
  })
})
