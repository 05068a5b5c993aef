/** Ours to set, or about the connection itself. */
const RESERVED =
  /^(host|range|if-range|if-match|accept-encoding|connection|keep-alive|content-length|transfer-encoding|te|trailer|upgrade|expect|proxy-.*)$/i

/** Why a caller can't send this header; undefined if it can. */
export function whyBadHeader(name: string, value: string): string | undefined {
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(name)) return 'is no header name'
  if (RESERVED.test(name)) return 'is set by the download itself'
  if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) return 'has a line break or another control character in its value'
  return undefined
}
