import { FleetError } from '@taskfleet/protocol'
import { wholeNumber } from '@taskfleet/protocol/internal'

/** The measures of the gate, besides the disk. */
export type Measure = 'cpu' | 'memoryLeft' | 'eventLoopDelayMs'

/** Two thresholds for one measure, in its unit; `null` means that it never holds back such tasks. */
interface Levels {
  /** Lazy tasks wait beyond it. */
  lazy?: number | null
  /** All tasks wait beyond it. It must be more extreme than `lazy`. */
  all?: number | null
  /** How far back from a threshold the value must be before tasks start again. */
  margin?: number
}

export interface LoadThresholds {
  /** Busy part of the processors, 0..1. By default lazy tasks wait above 0.8, and nothing else does. */
  cpu?: Levels
  /** Free part of the memory, 0..1. By default lazy tasks wait below 0.15 and all below 0.05. */
  memoryLeft?: Levels
  /** Milliseconds that timers are late. By default lazy tasks wait above 200 and all above 1000. */
  eventLoopDelayMs?: Levels
  /** How many readings in a row close the gate; 2 by default. */
  closeAfter?: number
  /** How many readings in a row open it; 3 by default. */
  openAfter?: number
}

/** Thresholds with every default filled in. */
export interface FullThresholds extends Record<Measure, { lazy: number | null; all: number | null; margin: number }> {
  closeAfter: number
  openAfter: number
}

// A busy processor does not stop all tasks: many only wait for a network.
const DEFAULTS: FullThresholds = {
  cpu: { lazy: 0.8, all: null, margin: 0.1 },
  memoryLeft: { lazy: 0.15, all: 0.05, margin: 0.03 },
  eventLoopDelayMs: { lazy: 200, all: 1_000, margin: 100 },
  closeAfter: 2,
  openAfter: 3,
}

const MOST: Record<Measure, number> = { cpu: 1, memoryLeft: 1, eventLoopDelayMs: 3_600_000 }

const MEASURES = Object.keys(MOST) as Measure[]
const MOST_READINGS = 600

/** Whether a threshold is crossed downwards, as for free memory. */
export const badWhenLow = (measure: Measure): boolean => measure === 'memoryLeft'

/** The value at which the gate opens again after a threshold was crossed. */
export const reopensAt = (measure: Measure, threshold: number, margin: number): number =>
  // Rounds results such as 0.8 - 0.1, which people read.
  Number((badWhenLow(measure) ? threshold + margin : threshold - margin).toFixed(6))

/**
 * Fills in the defaults. A margin that is not given shrinks to half of a threshold that would leave no room for it.
 * @throws {FleetError} `CONFIG_RANGE` with the `field`: an unknown name, a value out of range, a margin that would
 *   never let the gate open, or `all` crossed before `lazy`
 */
export function fullThresholds(given: LoadThresholds = {}): FullThresholds {
  known('thresholds', given, Object.keys(DEFAULTS))
  return {
    ...(Object.fromEntries(MEASURES.map((measure) => [measure, levels(measure, given[measure])])) as Record<
      Measure,
      FullThresholds['cpu']
    >),
    closeAfter: count('closeAfter', given.closeAfter),
    openAfter: count('openAfter', given.openAfter),
  }
}

function levels(measure: Measure, given: Levels = {}): FullThresholds['cpu'] {
  const field = `thresholds.${measure}`
  known(field, given, ['lazy', 'all', 'margin'])
  const usual = DEFAULTS[measure]
  const most = MOST[measure]
  const lazy = level(`${field}.lazy`, given.lazy, most) ?? (given.lazy === null ? null : usual.lazy)
  const all = level(`${field}.all`, given.all, most) ?? (given.all === null ? null : beyond(measure, usual.all, lazy))
  if (lazy !== null && all !== null && (badWhenLow(measure) ? all > lazy : all < lazy)) {
    const side = badWhenLow(measure) ? 'below' : 'above'
    throw outOfRange(`${field}.all`, `${all}`, `not crossed before 'lazy': lazy tasks wait ${side} ${lazy} already`)
  }
  // The largest margin that still lets the gate open again.
  const room = Math.min(
    ...[lazy, all].filter((at) => at !== null).map((at) => (badWhenLow(measure) ? most - at : at)),
    most,
  )
  const { margin } = given
  if (margin === undefined) return { lazy, all, margin: usual.margin < room ? usual.margin : room / 2 }
  if (!(typeof margin === 'number' && margin >= 0 && margin < room)) {
    const range = `at least 0 and less than ${room}, or the gate would never open again`
    throw outOfRange(`${field}.margin`, `${margin}`, range)
  }
  return { lazy, all, margin }
}

function level(field: string, value: number | null | undefined, most: number): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && value > 0 && value < most) return value
  throw outOfRange(field, `${value}`, `above 0 and below ${most}, or null for never`)
}

/** The default for `all` moves to `lazy`, if that was set beyond it. */
function beyond(measure: Measure, usual: number | null, lazy: number | null): number | null {
  if (usual === null || lazy === null) return usual
  return badWhenLow(measure) ? Math.min(usual, lazy) : Math.max(usual, lazy)
}

const count = (field: 'closeAfter' | 'openAfter', value: number = DEFAULTS[field]): number =>
  wholeNumber(value, `thresholds.${field}`, { least: 1, most: MOST_READINGS, code: 'CONFIG_RANGE' })

/** Rejects misspelt names: otherwise the default would apply without a notice. */
function known(field: string, given: unknown, names: readonly string[]): void {
  if (typeof given !== 'object' || given === null)
    throw outOfRange(field, `${given}`, `an object of ${names.join(', ')}`)
  const odd = Object.keys(given).find((name) => !names.includes(name))
  if (odd !== undefined) throw outOfRange(`${field}.${odd}`, 'unknown', `one of ${names.join(', ')}`)
}

const outOfRange = (field: string, value: string, range: string): FleetError =>
  new FleetError('CONFIG_RANGE', `'${field}' must be ${range}; it is ${value}`, { field })
