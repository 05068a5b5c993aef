import { FleetError } from './fleet-error.ts'
import type { Duration } from './protocol.ts'

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** A hundred years: the longest duration of any option. Added to a current date, it still gives a valid date. */
export const LONGEST_MS = 36_525 * UNITS.d

/**
 * A duration in whole milliseconds, 0 to `LONGEST_MS`.
 * @throws {FleetError} `BAD_DURATION`
 */
export function milliseconds(duration: Duration): number {
  const ms = readDuration(duration)
  if (ms >= 0 && ms <= LONGEST_MS) return ms
  throw new FleetError(
    'BAD_DURATION',
    `${shownValue(duration)} is not a duration. Use milliseconds or a text such as 90s, 5m, 2h, up to ${LONGEST_MS / UNITS.d}d`,
  )
}

/** A duration in whole milliseconds, of any length and sign; NaN if the value is not a duration. Never throws. */
export function readDuration(value: unknown): number {
  if (typeof value === 'number') return Math.round(value)
  if (typeof value !== 'string') return Number.NaN
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value) ?? []
  return amount === undefined ? Number.NaN : Math.round(Number(amount) * UNITS[unit as keyof typeof UNITS])
}

/** Any value as a short text for a message, without calling the value's own code. */
export function shownValue(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 40 ? `${value.slice(0, 40)}…` : value}'`
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return `'${value}'`
  return Array.isArray(value) ? 'an array' : value === undefined ? 'nothing' : `a value of type ${typeof value}`
}

/**
 * A duration for people, such as `2h 5m`.
 *
 * @param parts the most units to show
 * @param least the smallest unit to show
 */
export function durationText(
  ms: number,
  { parts = 2, least = 'ms' }: { parts?: number; least?: keyof typeof UNITS } = {},
): string {
  let rest = Math.floor(ms / UNITS[least]) * UNITS[least]
  const shown: string[] = []
  for (const [unit, size] of Object.entries(UNITS).reverse()) {
    const count = Math.floor(rest / size)
    if (count > 0 && shown.length < parts) shown.push(`${count}${unit}`)
    rest -= count * size
  }
  return shown.length === 0 ? `0${least}` : shown.join(' ')
}

/** A duration in the largest unit that leaves no remainder: `90s`, `5m`. */
export function shortDuration(ms: number): string {
  const [unit, size] = Object.entries(UNITS).findLast(([, size]) => ms % size === 0) ?? ['ms', 1]
  return `${ms / size}${unit}`
}
