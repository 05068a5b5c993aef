/**
 * Characters that are invisible, or change the display of their neighbours: controls, bidirectional marks and
 * overrides, zero-width and tag characters, line separators, and halves of surrogate pairs. ZWJ and ZWNJ stay: emoji and
 * several scripts need them.
 */
export const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what it looks for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]|[\u{e0000}-\u{e007f}]/gu

const SHORT: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0' }

function escaped(character: string): string {
  const short = SHORT[character]
  if (short !== undefined) return short
  const code = character.codePointAt(0) ?? 0
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
}

/** A line of foreign text: invisible characters are escaped, and it ends after `max` characters. */
export function visibleLine(text: string, max = 200): string {
  const { kept, cut } = cutText(text, max)
  return kept.replace(HIDDEN, escaped) + (cut > 0 ? '…' : '')
}

/** Foreign text of several lines: as `visibleLine`, but line ends and tabs stay. */
export function visibleText(text: string, max = 20_000): string {
  const { kept, cut } = cutText(text, max)
  const shown = kept
    .replace(/\r\n/g, '\n')
    .replace(HIDDEN, (character) => (character === '\n' || character === '\t' ? character : escaped(character)))
  return cut > 0 ? `${shown}… (${cut.toLocaleString('en')} more characters)` : shown
}

/** At most `max` UTF-16 units, never half a surrogate pair. */
function cutText(text: string, max: number): { kept: string; cut: number } {
  if (text.length <= max) return { kept: text, cut: 0 }
  const last = text.charCodeAt(max - 1)
  const end = last >= 0xd800 && last <= 0xdbff ? max - 1 : max
  return { kept: text.slice(0, end), cut: text.length - end }
}
