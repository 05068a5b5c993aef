import { UnrecoverableError } from '@taskfleet/protocol'

/** Room is left for the task's id, a lease and an ending: part files stand beside the file, and 255 bytes is the limit. */
const LONGEST = 160
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i
/** Separators, drive letters, control characters, and marks that change the direction of the text. */
const FORBIDDEN = /[/\\:\p{Cc}\p{Cs}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u
/** Names of our own files beside a destination. */
const OURS = /\.download-lock$|\.part$/

/**
 * The name as it is written to disk: one base name in NFC, so that two spellings of it are one file.
 * @throws {UnrecoverableError} `BAD_FILENAME`
 */
export function checkedName(name: string): string {
  const normal = name.normalize('NFC')
  const wrong = whyBad(normal)
  if (wrong === undefined) return normal
  const message = `${JSON.stringify(name.slice(0, 80))} ${wrong}: give a plain file name`
  throw new UnrecoverableError('BAD_FILENAME', message, { field: 'file' })
}

function whyBad(name: string): string | undefined {
  if (name === '' || name === '.' || name === '..') return 'is no file name'
  if (FORBIDDEN.test(name)) return 'has a folder, a drive or a control character in it'
  if (/^\s|[\s.]$/.test(name)) return 'starts or ends with a character that some systems drop'
  if (RESERVED.test(name)) return 'is a device on some systems'
  if (OURS.test(name)) return 'has an ending that downloads in progress use'
  if (Buffer.byteLength(name) > LONGEST) return `is longer than ${LONGEST} bytes`
  return undefined
}

/** A name from what a server says of itself, made safe: `Content-Disposition`, else the last part of the URL's path. */
export function nameFromServer(disposition: string | undefined, url: URL): string {
  const candidates = [dispositionName(disposition ?? ''), decoded(url.pathname.split('/').at(-1) ?? ''), 'download']
  for (const candidate of candidates) {
    const name = candidate === undefined ? '' : madeSafe(candidate)
    if (whyBad(name) === undefined) return name
  }
  return 'download'
}

function madeSafe(name: string): string {
  const base = name.normalize('NFC').split(/[/\\]/).at(-1) ?? ''
  const plain = base.replace(new RegExp(FORBIDDEN, 'gu'), '_').replace(/^[\s.]+/, '')
  let short = plain
  while (Buffer.byteLength(short) > LONGEST) short = [...short].slice(0, -1).join('')
  const trimmed = short.replace(/[\s.]+$/, '')
  return RESERVED.test(trimmed) || OURS.test(trimmed) ? `_${trimmed}_` : trimmed
}

/** RFC 6266: `filename*` with its character set wins over `filename`. */
function dispositionName(header: string): string | undefined {
  const extended = /(?:^|;)\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)/i.exec(header)?.[1]
  if (extended !== undefined) return decoded(extended)
  const [, quoted, token] = /(?:^|;)\s*filename\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^;\s"]+))/i.exec(header) ?? []
  return quoted?.replace(/\\(.)/g, '$1') ?? token
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
