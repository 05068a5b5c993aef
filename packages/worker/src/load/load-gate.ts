import { FleetError } from '@taskfleet/protocol'
import { type ByteSize, parseBytes } from './bytes.ts'
import { inWords, isOver, type Rule } from './gate-words.ts'
import { Latch, type Standing } from './latch.ts'
import {
  badWhenLow,
  type FullThresholds,
  fullThresholds,
  type LoadThresholds,
  type Measure,
  reopensAt,
} from './thresholds.ts'

/** The free part of the memory that this process may use. */
export interface MemoryLeft {
  /** As a part of all of it, 0..1. */
  left: number
  bytes: number
}

/** One reading of the machine. A figure that could not be read is absent. */
export interface LoadReading {
  /** Busy part of the processors that are available, 0..1. */
  cpu?: number | undefined
  memory?: MemoryLeft | undefined
  /** The longest delay of a timer since the last reading, in milliseconds. */
  eventLoopDelayMs?: number | undefined
  /** Free bytes by folder. */
  disks?: ReadonlyMap<string, number> | undefined
}

/** The free disk space that a handler needs before its tasks start. */
export interface DiskNeed {
  folder: string
  minFree: ByteSize
}

/** Why the gate is closed for some tasks. */
export interface GateReason {
  measure: Measure | 'disk'
  /** Which tasks wait; `folder`: those whose handler needs that folder. */
  blocks: 'lazy' | 'all' | 'folder'
  folder?: string
  /** The reading, as the gate has smoothed it, in the measure's unit: a part, milliseconds, or bytes. */
  value: number
  threshold: number
  /** In words, with figures. */
  message: string
}

export interface GateState {
  /** Whether lazy tasks may start. */
  lazy: boolean
  /** Whether any task may start. */
  all: boolean
  /** All reasons in one line; absent when nothing waits. */
  reason?: string
  reasons: GateReason[]
}

/** The properties of a task that the gate uses. */
export interface GateTask {
  lazy: boolean
  /** The folder that its handler needs. */
  folder?: string | undefined
}

type HeldRule = Rule & { latch: Latch }

/** The time constant for smoothing the CPU, whose figures vary from second to second. */
const CPU_SMOOTHING_MS = 2_000
/** A disk that was full must be clear of the limit by this part of it. */
const DISK_MARGIN = 0.1

/**
 * Decides from readings of the machine which tasks may start. Each measure has a threshold for lazy tasks and a more extreme
 * one for all. Crossing one takes several readings in a row, and going back also a margin (`Latch`). Low disk space
 * holds back only tasks whose handler needs the folder. Running tasks go on.
 *
 * Pure: the readings and the time are passed in.
 */
export class LoadGate {
  readonly #rules: readonly HeldRule[]
  #cpu: { value: number; at: number } | undefined
  #state: GateState = { lazy: true, all: true, reasons: [] }

  /**
   * @param disks for a folder that is given twice, the larger need counts
   * @throws {FleetError} `CONFIG_RANGE` or `BAD_SIZE`, with the `field`
   */
  constructor(thresholds: LoadThresholds = {}, disks: readonly DiskNeed[] = []) {
    const full = fullThresholds(thresholds)
    this.#rules = [...measureRules(full), ...diskRules(full, disks)]
  }

  get state(): GateState {
    return this.#state
  }

  /** @param now milliseconds of a clock that doesn't jump */
  update(reading: LoadReading, now: number): GateState {
    const smooth = { ...reading, cpu: this.#smoothCpu(reading.cpu, now) }
    const held: GateReason[] = []
    for (const rule of this.#rules) {
      const value = figureOf(rule, smooth)
      rule.latch.update(standingOf(rule, value))
      if (rule.latch.closed && value !== undefined) held.push(reasonFor(rule, value, smooth))
      else if (rule.latch.closed) held.push(...this.#state.reasons.filter((reason) => sameRule(reason, rule)))
    }
    // If all tasks wait for a measure, the reason for lazy ones is omitted.
    const reasons = held.filter(
      ({ measure, blocks }) =>
        blocks !== 'lazy' || !held.some((one) => one.measure === measure && one.blocks === 'all'),
    )
    const all = !reasons.some(({ blocks }) => blocks === 'all')
    const lazy = all && !reasons.some(({ blocks }) => blocks === 'lazy')
    this.#state = { lazy, all, ...(reasons.length === 0 ? {} : { reason: inOneLine(reasons) }), reasons }
    return this.#state
  }

  /** Whether such a task may start now. */
  allows(task: GateTask): boolean {
    return !this.#state.reasons.some((reason) => concerns(reason, task))
  }

  /** Exponential smoothing by elapsed time, so that a late reading counts for the whole time since the last one. */
  #smoothCpu(cpu: number | undefined, now: number): number | undefined {
    if (cpu === undefined) {
      this.#cpu = undefined
      return undefined
    }
    const { value, at } = this.#cpu ?? { value: cpu, at: now }
    const weight = 1 - Math.exp(-Math.max(0, now - at) / CPU_SMOOTHING_MS)
    this.#cpu = { value: value + weight * (cpu - value), at: now }
    return this.#cpu.value
  }
}

function measureRules(full: FullThresholds): HeldRule[] {
  return (['cpu', 'memoryLeft', 'eventLoopDelayMs'] as const).flatMap((measure) =>
    (['lazy', 'all'] as const).flatMap((blocks) => {
      const threshold = full[measure][blocks]
      if (threshold === null) return []
      const reopens = reopensAt(measure, threshold, full[measure].margin)
      // The start itself delays the event loop, so its first reading does not count. Memory that is short at the start is really short.
      const latch = new Latch({ ...full, eager: measure === 'memoryLeft' })
      return [{ measure, blocks, threshold, reopens, low: badWhenLow(measure), latch }]
    }),
  )
}

function diskRules(full: FullThresholds, disks: readonly DiskNeed[]): HeldRule[] {
  const most = new Map<string, number>()
  for (const { folder, minFree } of disks) {
    if (typeof folder !== 'string' || folder === '') {
      const message = `'disk.folder' must be the path of a folder; it is '${folder}'`
      throw new FleetError('CONFIG_RANGE', message, { field: 'disk.folder' })
    }
    most.set(folder, Math.max(most.get(folder) ?? 0, parseBytes(minFree, 'disk.minFree')))
  }
  return [...most].map(([folder, threshold]) => ({
    measure: 'disk',
    blocks: 'folder',
    folder,
    threshold,
    reopens: threshold * (1 + DISK_MARGIN),
    low: true,
    latch: new Latch({ ...full, eager: true }),
  }))
}

function figureOf(
  { measure, folder }: Rule,
  { cpu, memory, eventLoopDelayMs, disks }: LoadReading,
): number | undefined {
  switch (measure) {
    case 'cpu':
      return cpu
    case 'memoryLeft':
      return memory?.left
    case 'eventLoopDelayMs':
      return eventLoopDelayMs
    case 'disk':
      return disks?.get(folder!)
  }
}

function standingOf(rule: Rule, value: number | undefined): Standing {
  if (value === undefined) return 'unknown'
  if (isOver(rule, value)) return 'over'
  return (rule.low ? value > rule.reopens : value < rule.reopens) ? 'clear' : 'near'
}

const sameRule = (reason: GateReason, rule: Rule): boolean =>
  reason.measure === rule.measure && reason.blocks === rule.blocks && reason.folder === rule.folder

const inOneLine = (reasons: readonly GateReason[]): string => reasons.map(({ message }) => message).join('; ')

function concerns({ blocks, folder }: GateReason, task: GateTask): boolean {
  switch (blocks) {
    case 'all':
      return true
    case 'lazy':
      return task.lazy
    case 'folder':
      return folder === task.folder
  }
}

function reasonFor(rule: Rule, value: number, reading: LoadReading): GateReason {
  const { measure, blocks, folder, threshold } = rule
  const message = inWords(rule, value, reading)
  return { measure, blocks, ...(folder === undefined ? {} : { folder }), value, threshold, message }
}
