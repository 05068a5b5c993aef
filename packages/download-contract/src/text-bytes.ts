/*
 * Lists of addresses are also read in browsers, which have no `Buffer`.
 */

/** How many bytes a text has as UTF-8. */
export const utf8Length = (text: string): number => new TextEncoder().encode(text).length

/** The bytes of a base64 text as lower-case hex, in either alphabet, with or without padding; undefined for anything else. */
export function base64ToHex(text: string): string | undefined {
  const plain = text
    .replace(/={1,2}$/, '')
    .replaceAll('-', '+')
    .replaceAll('_', '/')
  if (!/^[A-Za-z0-9+/]+$/.test(plain) || plain.length % 4 === 1) return undefined
  return Array.from(atob(plain), (char) => char.charCodeAt(0).toString(16).padStart(2, '0')).join('')
}
