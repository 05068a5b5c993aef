import { FleetError } from '../fleet-error.ts'
import { cutText, isWellFormed } from './text.ts'

const LONGEST_PATH = 500
/** Matches places that may have a number that a double can't hold exactly. */
const SUSPECT_NUMBER = /\d{16}|[eE]\+?\d{3}/
/** NUL and half surrogate pairs, which appear in JSON only as escapes. */
const SUSPECT_TEXT = /\\u(?:0000|d[89a-f])/i
/** A number that `checkJson` always rejects after the text was parsed. */
const NO_NUMBER = '1e999'

/**
 * Parses JSON from outside and rejects values that `JSON.parse` would silently change: whole numbers beyond 2^53, which are
 * rounded, and numbers like `1e400`, which become infinite. Half surrogate pairs and NUL are rejected too.
 *
 * @param what the name of the text in errors
 * @throws {FleetError} `BAD_JSON`; `OUT_OF_RANGE`, `BAD_STRING` with the path in `field`
 */
export function parseJson(text: string, what = 'This'): unknown {
  const suspect = SUSPECT_NUMBER.test(text) || SUSPECT_TEXT.test(text)
  let value: unknown
  try {
    value = JSON.parse(suspect ? markRounded(text) : text)
  } catch (error) {
    throw new FleetError('BAD_JSON', `${what} is not JSON: ${(error as Error).message.slice(0, 200)}`, { cause: error })
  }
  if (suspect) checkJson(value)
  return value
}

/**
 * Replaces each whole number that a double would round by one out of range, so that `checkJson` finds it. After parsing, the
 * rounding can't be detected.
 */
export function markRounded(json: string): string {
  if (!SUSPECT_NUMBER.test(json)) return json
  let marked = ''
  let copied = 0
  for (let at = 0; at < json.length; ) {
    const char = json[at]!
    if (char === '"') at = endOfText(json, at)
    else if (char === '-' || isDigit(char)) {
      const end = endOfNumber(json, at)
      if (isRounded(json.slice(at, end))) {
        marked += json.slice(copied, at) + NO_NUMBER
        copied = end
      }
      at = end
    } else at += 1
  }
  return marked + json.slice(copied)
}

function endOfText(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at += 1) {
    if (json[at] === '\\') at += 1
    else if (json[at] === '"') return at + 1
  }
  return json.length
}

function endOfNumber(json: string, start: number): number {
  let end = start + 1
  while (end < json.length && /[\d.eE+-]/.test(json[end]!)) end += 1
  return end
}

const isDigit = (char: string): boolean => char >= '0' && char <= '9'

/** A number with a dot or an exponent may be rounded: it means the nearest double. */
const isRounded = (number: string): boolean => /^-?\d{16,}$/.test(number) && !Number.isSafeInteger(Number(number))

interface Place {
  value: unknown
  key: string | number
  within: Place | undefined
}

/**
 * Rejects values from JSON that readers may interpret differently. Works without recursion, because the nesting may be very deep.
 *
 * @throws {FleetError} `OUT_OF_RANGE`, `BAD_STRING`; `field` is the path
 */
export function checkJson(value: unknown): void {
  const left: Place[] = [{ value, key: '', within: undefined }]
  for (let place = left.pop(); place !== undefined; place = left.pop()) {
    const { value: one } = place
    if (typeof one === 'number') checkNumber(one, place)
    else if (typeof one === 'string') checkText(one, place)
    else if (typeof one === 'object' && one !== null && !ArrayBuffer.isView(one)) {
      for (const [key, inner] of Object.entries(one)) {
        const entry = { value: inner, key, within: place }
        if (!Array.isArray(one)) checkText(key, entry)
        left.push(entry)
      }
    }
  }
}

function checkNumber(number: number, place: Place): void {
  if (Number.isFinite(number)) return
  const field = pathOf(place)
  const message = `'${field}' is a number that JSON readers round or can't hold. Write numbers beyond 2^53 as a text`
  throw new FleetError('OUT_OF_RANGE', message, { field })
}

function checkText(text: string, place: Place): void {
  if (!text.includes('\0') && isWellFormed(text)) return
  const field = pathOf(place)
  const message = `'${field}': a text must not contain NUL or half a surrogate pair`
  throw new FleetError('BAD_STRING', message, { field })
}

function pathOf(place: Place): string {
  const keys: (string | number)[] = []
  for (let at: Place | undefined = place; at?.within !== undefined; at = at.within) keys.unshift(at.key)
  return cutText(keys.join('.'), LONGEST_PATH).replaceAll('\0', '\ufffd')
}
