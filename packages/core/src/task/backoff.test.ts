import { FleetError } from '@taskfleet/protocol'
import { expect, test } from 'vitest'
import { backoffDelay } from './backoff.ts'
import { fingerprint, toTaskError } from './fingerprint.ts'

const policy = { base: 1_000, factor: 2, cap: 10_000, jitter: false }

test('a delay doubles with each failure up to its cap', () => {
  expect([1, 2, 3, 4, 5, 50].map((failures) => backoffDelay(policy, failures, 0))).toEqual([
    1_000, 2_000, 4_000, 8_000, 10_000, 10_000,
  ])
})

test('jitter spreads it over its upper half', () => {
  expect([0, 0.5, 1].map((random) => backoffDelay({ ...policy, jitter: true }, 2, random))).toEqual([
    1_000, 1_500, 2_000,
  ])
})

test('errors that are the same fault have the same fingerprint, with any ids, numbers and names', () => {
  const of = (message: string): string => fingerprint({ name: 'Error', code: 'X', message })
  expect(of("no user 'ann' with id 65f0c0ffee65f0c0ffee65f0")).toBe(
    of("no user 'bob' with id 75f0c0ffee65f0c0ffee65f0"),
  )
  expect(of('GET http://a.example/1 took 31 ms')).toBe(of('GET http://b.example/2 took 47 ms'))
  expect(of('disk full')).not.toBe(of('no such file'))
})

test('any thrown value becomes an error with a code', () => {
  expect(toTaskError(new FleetError('STALLED', 'no byte'))).toMatchObject({ code: 'STALLED', name: 'FleetError' })
  expect(toTaskError(Object.assign(new Error('full'), { code: 'ENOSPC' }))).toMatchObject({ code: 'ENOSPC' })
  expect(toTaskError('just a text')).toMatchObject({ code: 'HANDLER_FAILED', message: 'just a text' })
  expect(toTaskError({ odd: 1 })).toMatchObject({ code: 'HANDLER_FAILED', message: '{ odd: 1 }' })
  const circle: Record<string, unknown> = {}
  circle.self = circle
  expect(toTaskError(circle)).toMatchObject({ code: 'HANDLER_FAILED' })
  expect(toTaskError(undefined)).toMatchObject({ code: 'HANDLER_FAILED' })
  expect(toTaskError(new Error('x'.repeat(100_000))).message.length).toBeLessThan(5_000)
})
