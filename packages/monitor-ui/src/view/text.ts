import { HIDDEN } from '@taskfleet/react/internal'

export { visibleLine, visibleText } from '@taskfleet/react/internal'

/** JSON as people read it. */
export function prettyJson(value: unknown): string {
  try {
    return JSON.stringify(value, null, 2) ?? 'undefined'
  } catch {
    return String(value)
  }
}

/** JSON to be edited: invisible characters are written as their escapes, which mean the same. */
export function editableJson(value: unknown): string {
  return prettyJson(value).replace(HIDDEN, (character) => {
    if (character === '\n') return character
    return [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
      .join('')
  })
}

/** An address that may be a link: `http` or `https` without credentials; all others stay text. */
export function safeLink(address: string): string | undefined {
  try {
    const url = new URL(address)
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined
    return url.username === '' && url.password === '' ? url.href : undefined
  } catch {
    return undefined
  }
}

/** JSON in one line. */
export function compactJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'undefined'
  } catch {
    return String(value)
  }
}
