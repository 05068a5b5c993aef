/** What several different values of a header that makes sense only once are worth. curl and browsers do the same. */
const SINGLE: Readonly<Record<string, 'first' | 'none'>> = {
  'content-disposition': 'first',
  'content-range': 'none',
  date: 'first',
  etag: 'none',
  'last-modified': 'none',
  location: 'first',
}

/**
 * The headers of an answer by lower-case name. A character stands for a byte, as HTTP has them (ISO-8859-1), so values can be sent back
 * byte for byte. A line that is repeated counts once; different lines are joined with commas, where that makes sense.
 */
export function readHeaders(received: Record<string, string | string[] | undefined>): Record<string, string> {
  const headers: Record<string, string> = Object.create(null)
  for (const [name, value = ''] of Object.entries(received)) {
    const values = [...new Set([value].flat())]
    const [first = ''] = values
    const single = SINGLE[name]
    if (values.length === 1 || single === 'first') headers[name] = first
    else if (single === undefined) headers[name] = values.join(', ')
  }
  return headers
}

/** Whole numbers as headers have them; undefined for anything else, and for what is too large to count with. */
export const readCount = (digits: string | undefined): number | undefined =>
  digits !== undefined && /^\d{1,15}$/.test(digits) ? Number(digits) : undefined

/**
 * A date in one of the forms of RFC 9110, 5.6.7, in milliseconds since 1970. The obsolete form without a zone is in UTC.
 *
 * @returns undefined for anything else
 */
export function readDate(text: string | undefined): number | undefined {
  if (text === undefined || !/\d\d:\d\d/.test(text)) return undefined
  const time = Date.parse(/(?:GMT|UTC?|Z|[+-]\d\d:?\d\d)\s*$/i.test(text) ? text : `${text} GMT`)
  return Number.isNaN(time) ? undefined : time
}

const asUtf8 = new TextDecoder('utf-8', { fatal: true })
const asLatin1 = new TextDecoder('windows-1252')

/** The text that the bytes of a header's value stand for: UTF-8 where they are valid UTF-8, else ISO-8859-1. */
export function textOf(value: string): string {
  const bytes = Buffer.from(value, 'latin1')
  try {
    return asUtf8.decode(bytes)
  } catch {
    return asLatin1.decode(bytes)
  }
}
