import { isPlainObject } from '../documents/plain.ts'

const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/
const DEEPEST = 100
/** Long enough for most schemas, and clearly not a secret. */
const STAND_IN = 'a-secret-that-only-workers-know'

/** The name in `{ secret: 'name' }`; undefined if the value is not a reference to a secret. */
function secretName(value: object): string | undefined {
  const { secret } = value as { secret?: unknown }
  return typeof secret === 'string' && Object.keys(value).length === 1 && NAME.test(secret) ? secret : undefined
}

/** Returns the input with each reference to a secret replaced; the same object if there is none. */
export function replaceSecrets(
  input: unknown,
  replace: (name: string, path: readonly string[]) => string,
  path: readonly string[] = [],
  within: readonly object[] = [],
): unknown {
  // Circular values, and values nested deeper than a stored input may be, are rejected elsewhere.
  if (typeof input !== 'object' || input === null || path.length > DEEPEST || within.includes(input)) return input
  if (Array.isArray(input)) {
    const items = input.map((item, index) =>
      replaceSecrets(item, replace, [...path, String(index)], [...within, input]),
    )
    return items.some((item, index) => item !== input[index]) ? items : input
  }
  if (!isPlainObject(input)) return input
  const name = secretName(input)
  if (name !== undefined) return replace(name, path)
  const fields = Object.entries(input).map(([key, value]) => [
    key,
    value,
    replaceSecrets(value, replace, [...path, key], [...within, input]),
  ])
  return fields.some(([, before, after]) => before !== after)
    ? Object.fromEntries(fields.map(([key, , after]) => [key, after]))
    : input
}

/** The input with stand-ins for its secrets. `at` tells whether a secret is at a path, whose parts are joined by `/`. */
export function withStandIns(input: unknown): { input: unknown; at: (path: string) => boolean } {
  const paths = new Set<string>()
  const filled = replaceSecrets(input, (_, path) => {
    paths.add(path.join('/'))
    return STAND_IN
  })
  return { input: filled, at: (path) => paths.has(path) }
}
