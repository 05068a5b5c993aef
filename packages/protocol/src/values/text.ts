const LONE_SURROGATE = /\p{Surrogate}/u
const LONE_SURROGATES = /\p{Surrogate}/gu
const encoder = new TextEncoder()

/** Most texts and nearly all keys are; progress may be reported 100,000 times a second. */
function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) if (text.charCodeAt(at) > 127) return false
  return true
}

/** Whether a text has a form in UTF-8: half of a surrogate pair has none. */
export const isWellFormed = (text: string): boolean => isAscii(text) || !LONE_SURROGATE.test(text)

/** With U+FFFD in place of what has no form in UTF-8. */
const wellFormed = (text: string): string => text.replace(LONE_SURROGATES, '\ufffd')

/** In bytes of UTF-8. */
export const utf8Length = (text: string): number => (isAscii(text) ? text.length : encoder.encode(text).length)

/** At most `limit` characters, without half a character at the end. */
export const cutText = (text: string, limit: number): string => wellFormed(text.slice(0, limit))
