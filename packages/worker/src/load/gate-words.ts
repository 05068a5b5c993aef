import { formatBytes } from './bytes.ts'
import type { GateReason, LoadReading } from './load-gate.ts'
import type { Measure } from './thresholds.ts'

/** One threshold of the gate. */
export interface Rule {
  measure: Measure | 'disk'
  blocks: GateReason['blocks']
  folder?: string
  threshold: number
  /** The value at which the rule opens again. */
  reopens: number
  /** Whether it is crossed downwards. */
  low: boolean
}

export const isOver = ({ low, threshold }: Rule, value: number): boolean =>
  low ? value < threshold : value > threshold

/**
 * Why tasks wait for a rule, with figures: beyond the threshold the limit, within the margin the value that opens the gate.
 * @param value the rule's figure in the reading, which is known
 */
export function inWords(rule: Rule, value: number, reading: LoadReading): string {
  const over = isOver(rule, value)
  if (rule.measure === 'disk') {
    const wanted = over
      ? `${formatBytes(rule.threshold)} are required`
      : `tasks wait until there are ${formatBytes(rule.reopens)}`
    return `${formatBytes(value)} of disk left in ${rule.folder}, ${wanted}`
  }
  const unit = rule.measure === 'eventLoopDelayMs' ? formatDelay : formatPart
  const side = rule.low ? 'below' : 'above'
  const limit = over
    ? `${side} ${unit(rule.threshold)}`
    : `until it is ${rule.low ? 'above' : 'below'} ${unit(rule.reopens)}`
  return `${formatValue(rule.measure, value, reading)} (${rule.blocks} tasks wait ${limit})`
}

function formatValue(measure: Measure, value: number, { memory }: LoadReading): string {
  switch (measure) {
    case 'cpu':
      return `CPU at ${formatPart(value)}`
    case 'memoryLeft':
      return `${formatBytes(memory?.bytes ?? 0)} of memory left, ${formatPart(value)}`
    case 'eventLoopDelayMs':
      return `event loop ${formatDelay(value)} late`
  }
}

const formatPart = (part: number): string => `${Number((part * 100).toFixed(1))} %`
const formatDelay = (ms: number): string =>
  ms < 1_000 ? `${Math.round(ms)} ms` : `${Number((ms / 1_000).toFixed(1))} s`
