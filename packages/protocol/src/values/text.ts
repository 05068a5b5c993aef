const LONE_SURROGATE = /\p{Surrogate}/u
const LONE_SURROGATES = /\p{Surrogate}/gu
const encoder = new TextEncoder()

/** A fast path, since most texts and nearly all keys are ASCII, and progress may be reported 100,000 times a second. */
function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) if (text.charCodeAt(at) > 127) return false
  return true
}

/** Whether a text can be encoded as UTF-8. Half a surrogate pair can't. */
export const isWellFormed = (text: string): boolean => isAscii(text) || !LONE_SURROGATE.test(text)

/** Replaces what can't be encoded as UTF-8 by U+FFFD. */
const wellFormed = (text: string): string => text.replace(LONE_SURROGATES, '\ufffd')

/** The length of a text in bytes of UTF-8. */
export const utf8Length = (text: string): number => (isAscii(text) ? text.length : encoder.encode(text).length)

/** Cuts a text to `limit` characters, without half a character at the end. */
export const cutText = (text: string, limit: number): string => wellFormed(text.slice(0, limit))
