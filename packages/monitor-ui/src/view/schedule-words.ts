import type { ScheduleRow } from '@taskfleet/protocol'
import cronstrue from 'cronstrue'

/** A cron in words, such as `At 03:30, Monday through Friday`; undefined if it can't be described. */
export function cronWords(cron: string): string | undefined {
  try {
    return cronstrue.toString(cron, { use24HourTimeFormat: true, throwExceptionOnParseError: true })
  } catch {
    return undefined
  }
}

/** When a schedule runs, in words. */
export function timingWords({ cron, every }: Pick<ScheduleRow, 'cron' | 'every'>): string {
  if (every !== undefined) return `Every ${periodWords(every)}`
  return cronWords(cron ?? '') ?? cron ?? ''
}

/** A moment in the local time of a zone; as ISO 8601 if this browser doesn't know the zone. */
export function timeIn(iso: string, timeZone: string): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return '–'
  try {
    return date.toLocaleString(undefined, {
      timeZone,
      weekday: 'short',
      year: 'numeric',
      month: 'short',
      day: 'numeric',
      hour: '2-digit',
      minute: '2-digit',
      ...(date.getUTCSeconds() === 0 ? {} : { second: '2-digit' }),
      hour12: false,
    })
  } catch {
    return iso
  }
}

const UNITS = [
  [86_400_000, 'day'],
  [3_600_000, 'hour'],
  [60_000, 'minute'],
  [1_000, 'second'],
] as const

/** `15 minutes`, `day`. */
function periodWords(ms: number): string {
  const [size, word] = UNITS.find(([size]) => ms % size === 0) ?? [1, 'millisecond']
  const count = ms / size
  return count === 1 ? word : `${count} ${word}s`
}
