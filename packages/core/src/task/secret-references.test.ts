import { expect, test } from 'vitest'
import { z } from 'zod'
import { checkRequest } from './check-input.ts'
import { replaceSecrets, withStandIns } from './secret-references.ts'

const shout = (input: unknown): unknown => replaceSecrets(input, (name, path) => `${name} at ${path.join('.')}`)

test('a reference is found anywhere in an input, and all else stays as it is', () => {
  const at = new Date()
  const input = { auth: { token: { secret: 'api-key' } }, list: [1, { secret: 'b' }], at }
  expect(shout(input)).toEqual({ auth: { token: 'api-key at auth.token' }, list: [1, 'b at list.1'], at })
  expect((shout(input) as { at: Date }).at).toBe(at)
  expect(input.list[1]).toEqual({ secret: 'b' })
  expect(shout({ secret: 'whole' })).toBe('whole at ')
})

test('a value that only looks like a reference is not one', () => {
  const input = [
    { secret: 'a', more: 1 },
    { secret: 5 },
    { secret: '../etc/passwd' },
    { secret: 'a.b' },
    { secret: '' },
    { secret: 'x'.repeat(65) },
    { secret: { secret: 5 } },
    null,
    'secret',
    new Map([['secret', 'a']]),
  ]
  expect(shout(input)).toBe(input)
  expect(withStandIns(input).input).toBe(input)
})

test('a circular or very deep value does no harm', () => {
  const circle: Record<string, unknown> = { token: { secret: 'a' } }
  circle.one = circle
  circle.other = circle
  expect(shout(circle)).toMatchObject({ token: 'a at token' })
  let deep: unknown = { secret: 'a' }
  for (let level = 0; level < 5_000; level += 1) deep = [deep]
  expect(shout(deep)).toBe(deep)
})

test('a producer checks an input except its secrets', async () => {
  const schema = z.object({ token: z.string().startsWith('tok_'), n: z.number() })
  const codeOf = (input: unknown): Promise<unknown> =>
    checkRequest(schema, input).then(
      () => 'fits',
      ({ code, field }: { code: string; field: string }) => [code, field],
    )
  expect(await codeOf({ token: { secret: 'api' }, n: 1 })).toBe('fits')
  expect(await codeOf({ token: { secret: 'api' }, n: 'x' })).toEqual(['INPUT_INVALID', 'input.n'])
  expect(await codeOf({ token: { secret: 'a b' }, n: 1 })).toEqual(['INPUT_INVALID', 'input.token'])
  expect(await codeOf({ token: 'other', n: 1 })).toEqual(['INPUT_INVALID', 'input.token'])
})
