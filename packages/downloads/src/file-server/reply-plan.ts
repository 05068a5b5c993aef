import type { Content } from './content.ts'

/** What the server is about to answer; faults change it before it is sent. */
export interface ReplyPlan {
  status: number
  headers: Record<string, string>
  /** The part of the content that is sent. */
  from: number
  to: number
  /** What happens after `to`. */
  ending: 'complete' | 'drop' | 'reset' | 'silence' | 'endless'
  /** Header lines sent as they are, for what node:http refuses to send. */
  rawHead?: string[]
}

/** The honest answer to a GET or HEAD, with a single byte range honoured. */
export function planReply(content: Content, range: string | undefined, ifRange: string | undefined): ReplyPlan {
  const { size, etag } = content
  const headers = { 'accept-ranges': 'bytes', etag, 'content-type': 'application/octet-stream' }
  const asked = ifRange === undefined || ifRange === etag ? parseRange(range, size) : undefined
  if (asked === 'unsatisfiable') {
    return {
      status: 416,
      headers: { ...headers, 'content-range': `bytes */${size}`, 'content-length': '0' },
      from: 0,
      to: 0,
      ending: 'complete',
    }
  }
  const { from, to } = asked ?? { from: 0, to: size }
  return {
    status: asked ? 206 : 200,
    headers: {
      ...headers,
      'content-length': String(to - from),
      ...(asked && { 'content-range': `bytes ${from}-${to - 1}/${size}` }),
    },
    from,
    to,
    ending: 'complete',
  }
}

/** `undefined` where the header is absent or not a single byte range: RFC 9110 lets a server ignore those. */
function parseRange(
  header: string | undefined,
  size: number,
): { from: number; to: number } | 'unsatisfiable' | undefined {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (first === '' && last === '') return undefined
  const from = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const to = first === '' || last === '' ? size : Math.min(size, Number(last) + 1)
  return from < to ? { from, to } : 'unsatisfiable'
}
