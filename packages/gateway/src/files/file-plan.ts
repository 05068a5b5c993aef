/** The conditional headers of a request for a file. */
export interface FileRequest {
  method: string
  range?: string | undefined
  ifRange?: string | undefined
  ifNoneMatch?: string | undefined
}

/** What tells one version of a file from another. */
export interface FileVersion {
  size: number
  /** Strong, with quotes. */
  etag: string
  modified: Date
}

/** How a request is answered; `to` is the byte after the last one. */
export type FilePlan =
  | { status: 200; from: number; to: number }
  | { status: 206; from: number; to: number }
  | { status: 304 }
  | { status: 416 }

/** A date validates only if it is at least this much older than the answer (RFC 9110, 8.8.2.2). */
const STRONG_DATE_MS = 1_000

/**
 * Decides by RFC 9110, 13 and 14. Several ranges in one request are answered with the whole file, as 14.2 allows; a range that is no range too.
 *
 * @param now in milliseconds since 1970
 */
export function planFile(request: FileRequest, version: FileVersion, now: number): FilePlan {
  const { method, range, ifRange, ifNoneMatch } = request
  const { size } = version
  if (ifNoneMatch !== undefined && matchesAny(ifNoneMatch, version.etag)) return { status: 304 }
  const whole = { status: 200, from: 0, to: size } as const
  // A range is defined for GET only.
  if (range === undefined || method !== 'GET') return whole
  if (ifRange !== undefined && !isSame(ifRange, version, now)) return whole
  const [, first = '', last = ''] = /^\s*bytes\s*=\s*(\d{0,15})\s*-\s*(\d{0,15})\s*$/i.exec(range) ?? []
  if (first === '' && last === '') return whole
  if (first === '') {
    const count = Math.min(Number(last), size)
    return count === 0 ? { status: 416 } : { status: 206, from: size - count, to: size }
  }
  const from = Number(first)
  if (last !== '' && Number(last) < from) return whole
  if (from >= size) return { status: 416 }
  return { status: 206, from, to: last === '' ? size : Math.min(Number(last) + 1, size) }
}

/** The weak comparison of `If-None-Match`. */
const matchesAny = (header: string, etag: string): boolean =>
  header.trim() === '*' || header.split(',').some((one) => one.trim().replace(/^W\//, '') === etag)

/** The strong comparison of `If-Range`. */
function isSame(ifRange: string, { etag, modified }: FileVersion, now: number): boolean {
  const given = ifRange.trim()
  if (given.startsWith('"') || given.startsWith('W/')) return given === etag
  const seconds = Math.floor(modified.getTime() / 1_000) * 1_000
  return Date.parse(given) === seconds && seconds + STRONG_DATE_MS <= now
}
