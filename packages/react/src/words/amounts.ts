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

/** The largest unit alone, for narrow columns: `3 m`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 60) return `${seconds}\u00a0s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}\u00a0m`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours}\u00a0h` : `${Math.floor(hours / 24)}\u00a0d`
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
