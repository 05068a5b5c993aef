import { zoneOption } from './zone.ts'

const SIZES = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** `1.24 GB`: three significant digits, decimal units as disks and networks use. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return '–'
  let value = Math.max(0, bytes)
  let size = 0
  // 999.5 would be rounded to 1000 of the smaller unit.
  while (value >= 999.5 && size < SIZES.length - 1) {
    value /= 1_000
    size += 1
  }
  const digits = size === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
  return `${value.toFixed(digits)}\u00a0${SIZES[size]}`
}

/** `3 m 05 s`, in at most two units. */
export function formatDuration(ms: number): string {
  if (ms > 0 && ms < 500) return '<1\u00a0s'
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 60) return `${seconds}\u00a0s`
  const two = (n: number) => String(n).padStart(2, '0')
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}\u00a0m\u00a0${two(seconds % 60)}\u00a0s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours}\u00a0h\u00a0${two(minutes % 60)}\u00a0m`
  return `${Math.floor(hours / 24)}\u00a0d\u00a0${hours % 24}\u00a0h`
}

/** `12 ms`, `1.24 s`, `3 m 05 s`: finer than a duration where it is short. */
export function formatLatency(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole < 1_000) return `${whole}\u00a0ms`
  if (whole >= 59_950) return formatDuration(whole)
  return `${(whole / 1_000).toFixed(whole < 9_995 ? 2 : 1)}\u00a0s`
}

/** The largest unit alone, for narrow columns: `3 m`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 60) return `${seconds}\u00a0s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}\u00a0m`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours}\u00a0h` : `${Math.floor(hours / 24)}\u00a0d`
}

/** `3 m ago`, `in 3 m`. */
export function formatWhen(iso: string, now: number): string {
  const age = now - Date.parse(iso)
  return age > -1_000 ? `${formatAge(age)} ago` : `in ${formatAge(-age)}`
}

/** An amount in the unit of a task's progress. */
export function formatAmount(amount: number, unit: string | undefined): string {
  if (unit === 'bytes') return formatBytes(amount)
  const number = amount.toLocaleString('en', { maximumFractionDigits: amount < 10 ? 1 : 0 })
  return unit === undefined ? number : `${number}\u00a0${unit}`
}

export function formatPercent(ratio: number): string {
  return `${(ratio * 100).toFixed(ratio > 0.9995 || ratio === 0 ? 0 : 1)}\u00a0%`
}

/** A share in whole percents; 0 % and 100 % only if exact. */
export function formatShare(ratio: number): string {
  if (ratio > 0 && ratio < 0.01) return '<1\u00a0%'
  return `${ratio < 1 ? Math.min(99, Math.round(ratio * 100)) : 100}\u00a0%`
}

/** `1 Mar 2027, 14:03:22 CET`: date, time of day and zone, in the zone that the reader has chosen. */
export function formatTime(iso: string): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return '–'
  return date.toLocaleString('en-GB', {
    ...{ day: 'numeric', month: 'short', year: 'numeric' },
    ...{ hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'short' },
    ...zoneOption(),
  })
}

/** `14:03:22`, or `14:03:22.123` with milliseconds. */
export function formatClock(iso: string, millis = false): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return '–'
  const clock = date.toLocaleTimeString('en-GB', zoneOption())
  // Zones differ by whole seconds.
  return millis ? `${clock}.${iso.match(/\.(\d{3})/)?.[1] ?? '000'}` : clock
}

/** `14:03` within a day, `1 Mar, 14:03` beside other days. For the axis of a chart. */
export function formatTick(at: number, withDay: boolean): string {
  const time = { hour: '2-digit', minute: '2-digit' } as const
  const day = withDay ? ({ day: 'numeric', month: 'short' } as const) : {}
  return new Date(at).toLocaleString('en-GB', { ...day, ...time, ...zoneOption() })
}

/** For `<input type="datetime-local">`: the reader's own time, to the second, without a zone. */
export function localTime(iso: string): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return ''
  const two = (n: number) => String(n).padStart(2, '0')
  const day = `${String(date.getFullYear()).padStart(4, '0')}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}
