import { FleetError } from './fleet-error.ts'
import type { Duration } from './protocol.ts'

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/**
 * A duration in milliseconds.
 * @throws {FleetError} `BAD_DURATION`
 */
export function milliseconds(duration: Duration): number {
  if (typeof duration === 'number' && Number.isFinite(duration) && duration >= 0) return duration
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(duration)) ?? []
  if (amount === undefined) {
    throw new FleetError(
      'BAD_DURATION',
      `'${duration}' is not a duration: milliseconds or a text such as 90s, 5m, 2h are`,
    )
  }
  return Number(amount) * UNITS[unit as keyof typeof UNITS]
}

/**
 * A duration for people, such as `2h 5m`.
 *
 * @param parts how many units are told at most
 * @param least the smallest unit that is told
 */
export function durationText(
  ms: number,
  { parts = 2, least = 'ms' }: { parts?: number; least?: keyof typeof UNITS } = {},
): string {
  let rest = Math.floor(ms / UNITS[least]) * UNITS[least]
  const told: string[] = []
  for (const [unit, size] of Object.entries(UNITS).reverse()) {
    const count = Math.floor(rest / size)
    if (count > 0 && told.length < parts) told.push(`${count}${unit}`)
    rest -= count * size
  }
  return told.length === 0 ? `0${least}` : told.join(' ')
}

/** The same the other way round, in the largest unit that says it without a remainder: `90s`, `5m`. */
export function shortDuration(ms: number): string {
  const [unit, size] = Object.entries(UNITS).findLast(([, size]) => ms % size === 0) ?? ['ms', 1]
  return `${ms / size}${unit}`
}
