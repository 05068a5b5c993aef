import { availableParallelism } from 'node:os'
import { wholeNumber } from '@taskfleet/protocol/internal'
import type { LoadReading } from './load-gate.ts'
import { TaskCost } from './task-cost.ts'
import { badWhenLow, type FullThresholds, type Measure, reopensAt } from './thresholds.ts'

export interface AutoSlotsReading extends LoadReading {
  /** Resident memory of this process, in bytes. */
  rss?: number | undefined
}

export interface SlotRange {
  /** Never fewer slots; 1 by default. */
  min?: number
  /** Never more; four per processor by default, 64 at most. */
  max?: number
}

export interface AutoSlotsOptions extends SlotRange {
  /** The gate's: slots shrink by one beyond `lazy`, to the half beyond `all`. */
  thresholds: FullThresholds
  /** How many to begin with; one per processor by default. */
  start?: number
  cores?: number
}

/** How much free capacity a reading shows. */
type Pressure = 'room' | 'enough' | 'high' | 'severe'

const CEILING = 1_000
/** Readings in a row before anything changes. */
const PATIENCE = 2
/** Readings after a cut before the next one: running tasks must end before a cut has an effect. */
const SETTLE = 5
/** Readings with unused slots before one of them is removed. */
const UNUSED = 30

/**
 * How many tasks run at once with `concurrency: 'auto'`. Additive increase, multiplicative decrease: one slot more while
 * all are busy and memory, event loop and processor have room for another task; one less when memory or the event loop
 * is beyond the gate's threshold for lazy tasks; half when beyond the one for all tasks. A busy processor only stops the
 * growth, since fewer slots would not help. Running tasks are never ended: with fewer slots, no task starts until
 * enough have ended.
 *
 * After Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks"
 * (1989). From TCP: a cut counts from what is in flight and is given time to show (RFC 5681), and unused slots
 * are removed again, since they may no longer be safe later (RFC 7661).
 *
 * Pure: the readings are passed in, one per interval.
 */
export class AutoSlots {
  readonly #thresholds: FullThresholds
  readonly #min: number
  readonly #max: number
  readonly #start: number
  readonly #cost = new TaskCost()
  #slots: number
  #grow = 0
  #cut = 0
  #unused = 0
  #settling = 0

  /** @throws {FleetError} `CONFIG_RANGE` with the field `concurrency.min` or `concurrency.max` */
  constructor({ thresholds, min = 1, max, start, cores = availableParallelism() }: AutoSlotsOptions) {
    this.#thresholds = thresholds
    this.#min = slotCount(min, 'concurrency.min', 1)
    this.#max = slotCount(max ?? Math.max(min, Math.min(64, 4 * cores)), 'concurrency.max', min)
    this.#start = Math.min(this.#max, Math.max(this.#min, start ?? cores))
    this.#slots = this.#start
  }

  get slots(): number {
    return this.#slots
  }

  /** The memory of one task, in bytes: a rough estimate; 0 until one has run. */
  get taskBytes(): number {
    return this.#cost.bytes
  }

  /**
   * @param running how many tasks run now
   * @returns the slots from now on
   */
  update(reading: AutoSlotsReading, running: number): number {
    this.#cost.learn(reading.rss, running)
    const pressure = this.#pressure(reading)
    const pressed = pressure === 'high' || pressure === 'severe'
    this.#cut = pressed ? this.#cut + 1 : 0
    this.#grow = pressure === 'room' && running >= this.#slots ? this.#grow + 1 : 0
    this.#unused = running < this.#slots ? this.#unused + 1 : 0
    if (this.#settling > 0) this.#settling -= 1
    if (pressed && this.#cut >= PATIENCE && this.#settling === 0) this.#shrink(pressure, running)
    else if (this.#grow >= PATIENCE) this.#to(this.#slots + 1)
    else if (this.#unused >= UNUSED && this.#slots > this.#start) this.#to(this.#slots - 1)
    return this.#slots
  }

  #shrink(pressure: 'high' | 'severe', running: number): void {
    const inFlight = Math.min(this.#slots, running)
    this.#to(pressure === 'severe' ? Math.floor(inFlight / 2) : inFlight - 1)
    this.#settling = SETTLE
  }

  #to(slots: number): void {
    this.#slots = Math.min(this.#max, Math.max(this.#min, slots))
    this.#grow = 0
    this.#unused = 0
  }

  #pressure({ cpu, memory, eventLoopDelayMs }: AutoSlotsReading): Pressure {
    const felt = [this.#of('memoryLeft', memory?.left), this.#of('eventLoopDelayMs', eventLoopDelayMs)]
    if (felt.includes('severe')) return 'severe'
    if (felt.includes('high')) return 'high'
    const busy = this.#of('cpu', cpu) !== 'room'
    return busy || felt.includes('enough') || !this.#fitsAnother(memory) ? 'enough' : 'room'
  }

  #of(measure: Measure, value: number | undefined): Pressure {
    const { lazy, all, margin } = this.#thresholds[measure]
    const over = (threshold: number | null): boolean =>
      value !== undefined && threshold !== null && (badWhenLow(measure) ? value < threshold : value > threshold)
    if (over(all)) return 'severe'
    if (over(lazy)) return 'high'
    const first = lazy ?? all
    return first !== null && over(reopensAt(measure, first, margin)) ? 'enough' : 'room'
  }

  /** Whether another task fits into memory without crossing the first threshold, by the estimated memory of a task. */
  #fitsAnother(memory: AutoSlotsReading['memory']): boolean {
    if (memory === undefined || memory.left === 0) return memory === undefined
    const { lazy, all } = this.#thresholds.memoryLeft
    const keep = (memory.bytes / memory.left) * (lazy ?? all ?? 0)
    return memory.bytes - keep > this.#cost.bytes
  }
}

const slotCount = (value: unknown, field: string, least: number): number =>
  wholeNumber(value, field, { least, most: CEILING, code: 'CONFIG_RANGE' })
