import { FleetError } from '@taskfleet/protocol'

const UNITS = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 1_024,
  mib: 1_024 ** 2,
  gib: 1_024 ** 3,
  tib: 1_024 ** 4,
} as const

/** Bytes, or a text such as `500MB` (by 1000) or `2GiB` (by 1024). */
export type ByteSize = number | `${number}${'B' | 'KB' | 'MB' | 'GB' | 'TB' | 'KiB' | 'MiB' | 'GiB' | 'TiB'}`

/**
 * A size in whole bytes. Units may be in any case and follow a space. A text without a unit is refused, since it is ambiguous.
 * @param field the option that it comes from, for the error
 * @throws {FleetError} `BAD_SIZE`
 */
export function parseBytes(size: ByteSize | string, field?: string): number {
  const bytes = typeof size === 'number' ? size : Math.round(inBytes(String(size)))
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes
  const message = `'${size}' is not a size: give a whole number of bytes, or a text such as 500MB or 2GiB`
  throw new FleetError('BAD_SIZE', message, { field })
}

function inBytes(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?) ?([kmgt]?i?b)$/i.exec(text) ?? []
  return Number(amount) * (UNITS[unit?.toLowerCase() as keyof typeof UNITS] ?? Number.NaN)
}

/** Bytes for people, by 1000, with at most one decimal: `3.1 GB`. */
export function formatBytes(bytes: number): string {
  const steps = ['B', 'KB', 'MB', 'GB', 'TB']
  let amount = bytes
  while (steps.length > 1 && Number(amount.toFixed(1)) >= 1_000) {
    amount /= 1_000
    steps.shift()
  }
  return `${Number(amount.toFixed(1))} ${steps[0]}`
}
