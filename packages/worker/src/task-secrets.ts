import { replaceSecrets } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'

/** Returns the value of a secret; undefined when the worker does not have it. */
export type SecretSource = (name: string) => string | undefined | Promise<string | undefined>

/**
 * Replaces each `{ secret: 'name' }` in an input by its value.
 *
 * @returns the input, and the values of its secrets
 * @throws {FleetError} `SECRET_MISSING`, naming the secret
 */
export async function resolveSecrets(
  input: unknown,
  source: SecretSource,
): Promise<{ input: unknown; values: readonly string[] }> {
  const names = new Set<string>()
  replaceSecrets(input, (name) => {
    names.add(name)
    return ''
  })
  if (names.size === 0) return { input, values: [] }
  const known = new Map<string, string>()
  for (const name of names) {
    const value = await source(name)
    if (value === undefined || value === '') {
      throw new FleetError('SECRET_MISSING', `This worker does not have the secret '${name}' that the input names`, {
        field: name,
      })
    }
    known.set(name, value)
  }
  return { input: replaceSecrets(input, (name) => known.get(name)!), values: [...known.values()] }
}

/** Shorter values would mask large parts of any text. */
const SHORTEST_HIDDEN = 4

/** The forms of values in a text, the longest first: plain, in JSON and in an address. */
export function formsOf(values: readonly string[]): string[] {
  const forms = values
    .filter(({ length }) => length >= SHORTEST_HIDDEN)
    .flatMap((value) => [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value)])
  return [...new Set(forms)].sort((one, other) => other.length - one.length)
}
