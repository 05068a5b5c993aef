import { UnrecoverableError } from '@taskfleet/protocol'
import { utf8Length } from './text-bytes.ts'

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

/** How deep a folder may be below the root. */
const DEEPEST = 16

/**
 * The parts of a relative folder, each checked like a file name: `films/2026` is two of them, and `undefined` or '' none.
 * @throws {UnrecoverableError} `BAD_FOLDER`
 */
export function checkedFolder(folder: string | undefined): string[] {
  if (folder === undefined || folder === '') return []
  const parts = folder.replace(/\/$/, '').split('/')
  const bad = (what: string) =>
    new UnrecoverableError('BAD_FOLDER', `folder ${JSON.stringify(folder.slice(0, 80))} ${what}`, { field: 'folder' })
  if (folder.startsWith('/')) throw bad("is absolute: give one below the worker's root, such as films/2026")
  if (parts.length > DEEPEST) throw bad(`has more than ${DEEPEST} parts`)
  return parts.map((part) => {
    const normal = part.normalize('NFC')
    const wrong = whyBad(normal)
    if (wrong !== undefined) throw bad(`has a part ${JSON.stringify(part.slice(0, 80))}, which ${wrong}`)
    return normal
  })
}

function whyBad(name: string): string | undefined {
  if (name === '' || name === '.' || name === '..') return 'is no file name'
  if (FORBIDDEN.test(name)) return 'has a folder, a drive or a control character in it'
  if (/^\s|[\s.]$/.test(name)) return 'starts or ends with a character that some systems drop'
  if (RESERVED.test(name)) return 'is a device on some systems'
  if (OURS.test(name)) return 'has an ending that downloads in progress use'
  if (utf8Length(name) > LONGEST) return `is longer than ${LONGEST} bytes`
  return undefined
}

/** The name of a URL's file, made safe: the last part of its path. */
export const nameFromUrl = (url: URL): string => firstSafeName([lastOfPath(url)])

/** The last part of a URL's path, as people read it. */
export const lastOfPath = (url: URL): string => decoded(url.pathname.split('/').at(-1) ?? '')

/** The first of these that can be made a file name; else `download`. */
export function firstSafeName(candidates: readonly (string | undefined)[]): string {
  for (const candidate of candidates) {
    const name = candidate === undefined ? '' : madeSafe(candidate)
    if (whyBad(name) === undefined) return name
  }
  return 'download'
}

function madeSafe(name: string): string {
  const base = name.normalize('NFC').split(/[/\\]/).at(-1) ?? ''
  const plain = base.replace(new RegExp(FORBIDDEN, 'gu'), '_').replace(/^[\s.]+/, '')
  const trimmed = shortened(plain, '').replace(/[\s.]+$/, '')
  return RESERVED.test(trimmed) || OURS.test(trimmed) ? `_${trimmed}_` : trimmed
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** How many names are tried beside one that is taken. */
const MOST_NUMBERS = 9_999
/** The ending that stays behind the number; of `x.tar.gz`, both parts of it. */
const ENDING = /(?<=.)((?:\.tar)?\.[^.\s]{1,16})$/i

/** A name and its ending: `x.tar.gz` is `x` and `.tar.gz`. */
export function splitName(name: string): { stem: string; ending: string } {
  const ending = ENDING.exec(name)?.[1] ?? ''
  return { stem: name.slice(0, name.length - ending.length), ending }
}

/** `report (1).pdf`, `report (2).pdf` and so on, as browsers name a second file. */
export function* numberedNames(name: string): Generator<string> {
  const { stem, ending } = splitName(name)
  for (let number = 1; number <= MOST_NUMBERS; number++)
    yield `${shortened(stem, ` (${number})${ending}`)} (${number})${ending}`
}

/** Whether `file` is one of the numbered names of `name`. */
export function isNumbered(file: string, name: string): boolean {
  const number = Number(/ \((\d{1,4})\)(?:\.[^()]*)?$/.exec(file)?.[1])
  if (!(number >= 1)) return false
  let at = 0
  for (const candidate of numberedNames(name)) if (++at === number) return candidate === file
  return false
}

/** As much of `stem` as leaves room for what follows. */
export function shortened(stem: string, rest: string): string {
  let short = stem
  while (short !== '' && utf8Length(short) + utf8Length(rest) > LONGEST) short = [...short].slice(0, -1).join('')
  return short
}
