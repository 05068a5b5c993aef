/** A longer head is passed on as it is, for the parser to refuse. */
const MOST_HEAD_BYTES = 2 ** 19
const NOTHING: Buffer = Buffer.alloc(0)

/**
 * Rewrites the head of an answer as the parser wants it, which is stricter than curl and browsers: answers before the final one are left
 * out, also an unexpected `100`; lines may end without CR, be folded (RFC 9112, 5.2), have a space before the colon, or be no header at
 * all; control characters become spaces (RFC 9110, 5.5), and a length that is repeated counts once (RFC 9110, 8.6). What is no head is
 * passed on unchanged, as is everything behind it.
 */
export class HeadTidier {
  #received: Buffer = NOTHING
  #done = false

  /** @returns what the parser gets; empty while the head is incomplete */
  take(chunk: Buffer): Buffer {
    if (this.#done) return chunk
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    for (;;) {
      if (!mayBeHead(this.#received)) return this.#passOn()
      const end = endOfHead(this.#received)
      if (end < 0) return this.#received.length > MOST_HEAD_BYTES ? this.#passOn() : NOTHING
      const head = tidied(this.#received.toString('latin1', 0, end))
      if (head === undefined) return this.#passOn()
      this.#received = this.#received.subarray(end)
      if (head.interim) continue
      this.#done = true
      return Buffer.concat([Buffer.from(head.text, 'latin1'), this.#received])
    }
  }

  #passOn(): Buffer {
    this.#done = true
    return this.#received
  }
}

const mayBeHead = (bytes: Buffer): boolean => {
  const start = bytes.toString('latin1', 0, 64).trimStart().slice(0, 5)
  return 'HTTP/'.startsWith(start.toUpperCase())
}

/** The first byte behind the empty line; -1 where there is none yet. */
function endOfHead(bytes: Buffer): number {
  const [short, long] = [bytes.indexOf('\n\n', 1), bytes.indexOf('\n\r\n', 1)]
  if (short < 0) return long < 0 ? -1 : long + 3
  return long < 0 || short < long ? short + 2 : long + 3
}

function tidied(head: string): { text: string; interim: boolean } | undefined {
  const [first = '', ...lines] = head.trim().split(/\r?\n/)
  const [, minor, status = '', reason = ''] = /^HTTP\/1\.(\d)\s+(\d{3})(?:\s+(.*))?$/i.exec(first.trim()) ?? []
  if (minor === undefined) return undefined
  const headers: [name: string, value: string][] = []
  for (const line of lines) {
    const last = headers.at(-1)
    if (/^[ \t]/.test(line)) {
      if (last) last[1] = `${last[1]} ${clean(line)}`.trim()
      continue
    }
    const [, name, value = ''] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:(.*)$/s.exec(line) ?? []
    if (name !== undefined) headers.push([name, clean(value)])
  }
  // A later minor version is understood as the latest that is known (RFC 9110, 2.5).
  const text = [
    `HTTP/1.${minor === '0' ? 0 : 1} ${status} ${clean(reason)}`,
    ...plainLengths(headers).map((pair) => pair.join(': ')),
    '',
    '',
  ]
  return { text: text.join('\r\n'), interim: status.startsWith('1') && status !== '101' }
}

const clean = (value: string): string => value.replace(/[^\t\x20-\x7e\x80-\xff]/g, ' ').trim()

/** Without what says the same of the length again, or nothing at all. */
function plainLengths(headers: [name: string, value: string][]): [name: string, value: string][] {
  const isLength = ([name]: [string, string]) => name.toLowerCase() === 'content-length'
  const lengths = new Set(headers.filter(isLength).flatMap(([, value]) => value.split(/\s*,\s*/)))
  const kept = headers.filter(
    ([name, value]) => name.toLowerCase() !== 'transfer-encoding' || !/^identity$/i.test(value),
  )
  const [length] = lengths
  if (lengths.size !== 1 || length === undefined || !/^\d+$/.test(length)) return kept
  return [...kept.filter((pair) => !isLength(pair)), ['Content-Length', length]]
}
