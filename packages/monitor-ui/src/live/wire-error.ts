import type { WireError } from '@taskfleet/protocol'

/** Anything thrown, with the `code` and `field` that it may carry. */
export function wireError(thrown: unknown): WireError {
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  const field = stringOf(thrown, 'field')
  const error: WireError = { code: stringOf(thrown, 'code') ?? 'UNKNOWN', message }
  return field === undefined ? error : { ...error, field }
}

function stringOf(value: unknown, property: 'code' | 'field'): string | undefined {
  if (typeof value !== 'object' || value === null || !(property in value)) return undefined
  const found = (value as Record<string, unknown>)[property]
  return typeof found === 'string' ? found : undefined
}
