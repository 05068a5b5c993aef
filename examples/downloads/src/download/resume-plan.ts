/** What is on disk, and what is known of the version that it belongs to. */
export interface OnDisk {
  bytes: number
  /** A strong validator; without it nothing was asked for by range. */
  etag: string | undefined
  total: number | undefined
}

/** What to do with an answer. */
export type ResumePlan =
  /** Its body goes on where the file ends. */
  | { kind: 'append'; total: number | undefined }
  /** Its body is the whole file: throw away what is there. */
  | { kind: 'restart'; total: number | undefined; etag: string | undefined }
  /** All bytes are there already. */
  | { kind: 'complete' }
  /** It can't be used: ask again for the whole file. */
  | { kind: 'refetch'; why: string }

export interface Answer {
  status: number
  headers: Record<string, string>
}

/**
 * Bytes are added only to bytes of the same version: `206`, our own start, the same total and the same strong ETag
 * (RFC 9110, 13.1.5 and 15.3.7). Everything else starts again from the first byte.
 */
export function planResume({ status, headers }: Answer, disk: OnDisk): ResumePlan {
  if (status === 416) return planUnsatisfiable(headers, disk)
  if (status !== 206)
    return { kind: 'restart', total: count(headers['content-length']), etag: strongEtag(headers.etag) }
  const [, start, , size] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? []
  const total = count(size)
  if (disk.bytes === 0 || disk.etag === undefined)
    return { kind: 'refetch', why: 'a part was sent where the whole was asked for' }
  if (Number(start) !== disk.bytes)
    return { kind: 'refetch', why: `the range sent starts at ${start ?? 'no byte'}, not ${disk.bytes}` }
  if (strongEtag(headers.etag) !== disk.etag) return { kind: 'refetch', why: 'the range sent is of another version' }
  if (total !== undefined && disk.total !== undefined && total !== disk.total) {
    return { kind: 'refetch', why: `the file has ${total} bytes now, not ${disk.total}` }
  }
  return { kind: 'append', total: total ?? disk.total }
}

function planUnsatisfiable(headers: Record<string, string>, disk: OnDisk): ResumePlan {
  const size = count(/^bytes \*\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1])
  const sameVersion = headers.etag === undefined || strongEtag(headers.etag) === disk.etag
  if (disk.bytes > 0 && size === disk.bytes && sameVersion) return { kind: 'complete' }
  return { kind: 'refetch', why: `the server has no byte ${disk.bytes}` }
}

const strongEtag = (etag: string | undefined): string | undefined =>
  etag !== undefined && /^"[^"]*"$/.test(etag) ? etag : undefined

const count = (digits: string | undefined): number | undefined =>
  digits !== undefined && /^\d{1,15}$/.test(digits) ? Number(digits) : undefined
