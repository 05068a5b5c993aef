import { readCount, readDate } from './http-headers.ts'

/** What tells one version of a file from another, byte for byte as the server sent it. */
export interface Version {
  /** A strong validator. */
  etag?: string | undefined
  /** `Last-Modified`, where it is strong: at least one second older than the answer (RFC 9110, 8.8.2.2). */
  lastModified?: string | undefined
  /** An ETag that the server calls weak. It can show that two versions differ, not that they are the same. */
  weakEtag?: string | undefined
}

/** What is on disk, and what is known of the version that it belongs to. */
export interface OnDisk {
  bytes: number
  total: number | undefined
  version: Version
  /** Whether the end shows if bytes were mixed, because the caller gave a checksum. */
  checked: boolean
  /** Whether this attempt received all of it a moment ago, so that the total and the absence of other signs are enough. */
  fresh: boolean
}

/** A request for the bytes from `from` on. */
export interface RangeRequest {
  from: number
  /** Where they end: the byte before it is the last one. Without it, all the rest is wanted. */
  to?: number
  /** A validator: the server sends the whole if it doesn't fit. */
  ifRange: string | undefined
}

/** What to do with an answer. */
export type ResumePlan =
  /** Its body goes on where the file ends. */
  | { kind: 'append'; total: number | undefined }
  /** Its body starts at byte 0: throw away what is there. */
  | {
      kind: 'restart'
      total: number | undefined
      version: Version
      /** Whether it is the version that is on disk: another kind of request may get the rest. */
      same: boolean
      /** The server sent a piece where the whole was requested. */
      piece: boolean
    }
  /** All bytes are there already. */
  | { kind: 'complete' }
  /** It can't be used: request the whole file, or the rest in another way. */
  | { kind: 'refetch'; why: string; changed: boolean }

export interface Answer {
  status: number
  headers: Record<string, string>
}

/** The validators of an answer. Many servers omit the quotes of an ETag; what it has is compared and sent back as it is. */
export function versionOf(headers: Record<string, string>, now: number): Version {
  const { etag = '', 'last-modified': lastModified } = headers
  const modified = readDate(lastModified)
  const strongDate = modified !== undefined && modified + 1_000 <= (readDate(headers.date) ?? now)
  const weak = /^w\//i.test(etag)
  return {
    ...(etag !== '' && (weak ? { weakEtag: etag } : { etag })),
    ...(strongDate && { lastModified }),
  }
}

/** Whether a later attempt can add to bytes of this version. */
export const isResumable = (version: Version, checked: boolean): boolean =>
  checked || version.etag !== undefined || version.lastModified !== undefined

/**
 * The ways to request the rest, best first; none where it can't be added. Servers differ in the validators that they honour in `If-Range`,
 * and the answer's own validators are compared anyway. So with two of them, none is sent at first.
 */
export function rangeRequests({ bytes, version, checked, fresh }: OnDisk): RangeRequest[] {
  if (bytes === 0) return []
  const { etag, lastModified } = version
  const request = (ifRange?: string): RangeRequest => ({ from: bytes, ifRange })
  if (etag !== undefined && lastModified !== undefined) return [request(), request(etag)]
  if (etag !== undefined) return [request(etag), request()]
  if (lastModified !== undefined) return [request(lastModified), request()]
  return checked || fresh ? [request()] : []
}

/**
 * Bytes are added only to bytes of the same version: `206`, our own start, the same total, and a strong validator that is the same
 * (RFC 9110, 13.1.5 and 15.3.7), a checksum to verify the whole, or bytes that came a moment ago. Everything else starts again from the first byte.
 *
 * @param requested undefined if the whole was requested
 */
export function planResume(
  { status, headers }: Answer,
  disk: OnDisk,
  requested: RangeRequest | undefined,
  now = Date.now(),
): ResumePlan {
  const version = versionOf(headers, now)
  if (status === 416) return planUnsatisfiable(headers, version, disk)
  if (status !== 206) {
    const same = requested !== undefined && compare(version, disk.version) === 'same'
    return { kind: 'restart', total: bodyLength(headers), version, same, piece: false }
  }
  const range = readContentRange(headers['content-range'])
  if (range === undefined)
    return { kind: 'refetch', why: 'a part was sent that does not say what it is', changed: false }
  const { start, total } = range
  if (requested === undefined) {
    if (start === 0) return { kind: 'restart', total, version, same: false, piece: true }
    return { kind: 'refetch', why: 'a part was sent where the whole was requested', changed: false }
  }
  if (start !== disk.bytes)
    return { kind: 'refetch', why: `the range sent starts at ${start}, not ${disk.bytes}`, changed: false }
  if (total !== undefined && disk.total !== undefined && total !== disk.total)
    return { kind: 'refetch', why: `the file has ${total} bytes now, not ${disk.total}`, changed: true }
  const found = compare(version, disk.version)
  if (found === 'different') return { kind: 'refetch', why: 'the range sent is of another version', changed: true }
  // A server that honours a date need not repeat it.
  const confirmed = requested.ifRange !== undefined && requested.ifRange === disk.version.lastModified
  if (found === 'same' || confirmed || disk.checked || disk.fresh) return { kind: 'append', total: total ?? disk.total }
  return { kind: 'refetch', why: 'the range sent may be of another version', changed: false }
}

function compare(found: Version, known: Version): 'same' | 'different' | 'unknown' {
  if (found.etag !== undefined && known.etag !== undefined) return found.etag === known.etag ? 'same' : 'different'
  const [foundTag, knownTag] = [found, known].map(({ etag, weakEtag }) => (etag ?? weakEtag)?.replace(/^w\//i, ''))
  if (foundTag !== undefined && knownTag !== undefined && foundTag !== knownTag) return 'different'
  if (found.lastModified === undefined || known.lastModified === undefined) return 'unknown'
  return found.lastModified === known.lastModified ? 'same' : 'different'
}

function planUnsatisfiable(headers: Record<string, string>, version: Version, disk: OnDisk): ResumePlan {
  const size = readCount(/^\s*(?:bytes)?[\s=:]*\*\s*\/\s*(\d+)\s*$/i.exec(headers['content-range'] ?? '')?.[1])
  const changed = compare(version, disk.version) === 'different'
  const ends = size === disk.bytes || (size === undefined && disk.total === undefined && (disk.checked || disk.fresh))
  if (disk.bytes > 0 && ends && !changed) return { kind: 'complete' }
  return {
    kind: 'refetch',
    why: `the server has no byte ${disk.bytes}`,
    changed: changed || (size !== undefined && size !== disk.total),
  }
}

/** As RFC 9110, 14.4 has it, or nearly: servers write the unit in capitals, leave it out, or put other characters behind it. */
function readContentRange(header = ''): { start: number; total: number | undefined } | undefined {
  const [, first, last, size] = /^\s*(?:bytes)?[\s=:]*(\d+)\s*-\s*(\d+)\s*(?:\/\s*(\d+|\*)\s*)?$/i.exec(header) ?? []
  const [start, end, total] = [readCount(first), readCount(last), readCount(size)]
  if (start === undefined || end === undefined || end < start || (total !== undefined && end >= total)) return undefined
  return { start, total }
}

/** The length of a whole file, where the answer has one. */
const bodyLength = (headers: Record<string, string>): number | undefined =>
  headers['transfer-encoding'] === undefined ? readCount(headers['content-length']) : undefined
