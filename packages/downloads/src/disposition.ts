import { createRequire } from 'node:module'
import type Libmime from 'libmime'
import { textOf } from './http-headers.ts'

let libmime: typeof Libmime | undefined

/**
 * The file name of a `Content-Disposition` header (RFC 6266 and 8187), read with the leniency of browsers: bytes of UTF-8 or ISO-8859-1,
 * encoded words, continuations, percent-encoding, single quotes, a missing type. The name is not safe yet.
 *
 * @param header its bytes, as `readHeaders` has them
 * @returns undefined where there is no name
 */
export function dispositionName(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  // Its tables of character sets take a megabyte, and most tasks name their file.
  libmime ??= createRequire(import.meta.url)('libmime') as typeof Libmime
  const text = textOf(header)
  const { params } = libmime.parseHeaderValue(/^\s*filename\*?\s*=/i.test(text) ? `attachment; ${text}` : text)
  const name = params.filename
  if (typeof name !== 'string') return undefined
  const words = libmime.decodeWords(name)
  // The extended form is decoded already.
  const plain = /;\s*filename\*/i.test(`;${text}`) ? words : decoded(words.replace(/^'(.+)'$/s, '$1'))
  return plain === '' ? undefined : plain
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
