import { formatAge, formatDuration } from '@taskfleet/react/internal'
import { zoneOption } from './zone.ts'

export { formatAge, formatAmount, formatBytes, formatDuration, formatPercent } from '@taskfleet/react/internal'

/** `12 ms`, `1.24 s`, `3 m 05 s`: finer than a duration where it is short. */
export function formatLatency(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole < 1_000) return `${whole}\u00a0ms`
  if (whole >= 59_950) return formatDuration(whole)
  return `${(whole / 1_000).toFixed(whole < 9_995 ? 2 : 1)}\u00a0s`
}

/** `3 m ago`, `in 3 m`. */
export function formatWhen(iso: string, now: number): string {
  const age = now - Date.parse(iso)
  return age > -1_000 ? `${formatAge(age)} ago` : `in ${formatAge(-age)}`
}

/** A share in whole percents; 0 % and 100 % only if exact. */
export function formatShare(ratio: number): string {
  if (ratio > 0 && ratio < 0.01) return '<1\u00a0%'
  return `${ratio < 1 ? Math.min(99, Math.round(ratio * 100)) : 100}\u00a0%`
}

const DAY = { day: 'numeric', month: 'short' } as const
const MINUTE = { hour: '2-digit', minute: '2-digit' } as const
const SECOND = { ...MINUTE, second: '2-digit' } as const
/** Making a format costs more than a hundred uses, and a list of tasks writes dates by the thousand. */
const formats = new Map<string, Intl.DateTimeFormat>()

function dateFormat(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const all = { ...options, ...zoneOption() }
  const key = Object.entries(all).join(' ')
  const format = formats.get(key) ?? new Intl.DateTimeFormat('en-GB', all)
  formats.set(key, format)
  return format
}

/** `1 Mar 2027, 14:03:22 CET`: date, time of day and zone, in the zone that the reader has chosen. */
export function formatTime(iso: string): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return '–'
  return dateFormat({ ...DAY, year: 'numeric', ...SECOND, timeZoneName: 'short' }).format(date)
}

/** `14:03:22`, or `14:03:22.123` with milliseconds. */
export function formatClock(iso: string, millis = false): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return '–'
  const clock = dateFormat(SECOND).format(date)
  // Zones differ by whole seconds.
  return millis ? `${clock}.${iso.match(/\.(\d{3})/)?.[1] ?? '000'}` : clock
}

/** `14:03` within a day, `1 Mar, 14:03` beside other days. For the axis of a chart. */
export function formatTick(at: number, withDay: boolean): string {
  const date = new Date(at)
  return Number.isNaN(date.getTime()) ? '–' : dateFormat(withDay ? { ...DAY, ...MINUTE } : MINUTE).format(date)
}

/** For `<input type="datetime-local">`: the reader's own time, to the second, without a zone. */
export function localTime(iso: string): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return ''
  const two = (n: number) => String(n).padStart(2, '0')
  const day = `${String(date.getFullYear()).padStart(4, '0')}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}
