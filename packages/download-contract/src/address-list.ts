import { FleetError } from '@taskfleet/protocol'
import { checkDownloadInput } from './check-input.ts'
import type { DownloadInput } from './contract.ts'

/** A download that a list names. */
export interface ListedDownload {
  input: DownloadInput
  /** Where it is, for messages: `list.txt:12`. */
  where: string
}

/** How an option of aria2 becomes a part of the input. */
const OPTIONS: Readonly<Record<string, (value: string) => Partial<DownloadInput> | { header: string }>> = {
  out: (file) => ({ file }),
  dir: (folder) => ({ folder }),
  checksum: (checksum) => ({ checksum }),
  header: (header) => ({ header }),
  referer: (value) => ({ header: `referer: ${value}` }),
  'user-agent': (value) => ({ header: `user-agent: ${value}` }),
  'all-proxy': (proxy) => ({ proxy }),
}

/** A line that can't be used. */
export interface BadLine {
  /** From 1. */
  line: number
  /** Why, with its code. */
  error: FleetError
}

/** What a list names, and what is wrong with it. */
export interface AddressList {
  downloads: ListedDownload[]
  bad: BadLine[]
}

/**
 * Reads a list with an address in each line. Blank lines and lines that begin with `#` are ignored. Tabs separate addresses of the same file. As in
 * input files of aria2, indented lines below an address are its options: `out=NAME`, `dir=FOLDER`, `checksum=sha-256=…`, `header=Name: value`,
 * `referer=…`, `user-agent=…` and `all-proxy=…`.
 *
 * @param name the file's name, for messages
 * @returns also every bad line. Of an address whose line, or one of whose options is bad, later options are only checked by themselves.
 */
export function parseAddressList(text: string, name: string): AddressList {
  const downloads: ListedDownload[] = []
  const bad: BadLine[] = []
  /** Whether what the last address has so far is good. */
  let good = false
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split(/\r\n|\n|\r/)
    .entries()) {
    const said = line.trim()
    if (said === '' || said.startsWith('#')) continue
    const isAddress = !/^\s/.test(line)
    if (isAddress) downloads.push({ input: addressesOf(said), where: `${name}:${index + 1}` })
    const input = downloads.at(-1)?.input
    try {
      if (!isAddress) addOption(input, said)
      if (input !== undefined && (isAddress || good)) checkDownloadInput(input)
      if (isAddress) good = true
    } catch (error) {
      if (!(error instanceof FleetError)) throw error
      good = false
      bad.push({ line: index + 1, error })
    }
  }
  return { downloads, bad }
}

/**
 * As `parseAddressList`, for lists that are used as a whole or not at all.
 *
 * @throws {FleetError} `BAD_INPUT` with file and line, for the first bad line
 */
export function readAddressList(text: string, name: string): ListedDownload[] {
  const { downloads, bad } = parseAddressList(text, name)
  const [first] = bad
  if (first === undefined) return downloads
  const where = `${name}:${first.line}`
  throw new FleetError('BAD_INPUT', `${where}: ${first.error.message}`, { field: where, cause: first.error })
}

function addressesOf(line: string): DownloadInput {
  const [url = '', ...mirrors] = line.split(/\t+/).map((one) => one.trim())
  return mirrors.length === 0 ? { url } : { url, mirrors }
}

/** @throws {FleetError} `BAD_INPUT` */
function addOption(input: DownloadInput | undefined, said: string): void {
  if (input === undefined) throw new FleetError('BAD_INPUT', 'this line is indented, and there is no address above it')
  const [, name = '', value = ''] = /^([a-z0-9-]+)\s*=\s*(.*)$/i.exec(said) ?? []
  if (name === '') throw new FleetError('BAD_INPUT', 'an indented line is an option, such as out=NAME')
  const meaning = Object.hasOwn(OPTIONS, name) ? OPTIONS[name]?.(value) : undefined
  if (meaning === undefined)
    throw new FleetError('BAD_INPUT', `there is no option '${name}' here, only ${Object.keys(OPTIONS).join(', ')}`)
  if ('header' in meaning) addHeader(input, meaning.header)
  else Object.assign(input, meaning)
}

/**
 * Adds a header that is written as `Name: value`.
 * @throws {FleetError} `BAD_INPUT`
 */
export function addHeader(input: DownloadInput, text: string): void {
  const [, name, value = ''] = /^\s*([^:]+?)\s*:\s*(.*?)\s*$/s.exec(text) ?? []
  if (name === undefined) throw new FleetError('BAD_INPUT', "a header is written as 'Name: value'")
  input.headers = { ...input.headers, [name]: value }
}
