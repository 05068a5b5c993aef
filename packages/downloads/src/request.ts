import { createHash } from 'node:crypto'
import {
  checkedFolder,
  checkedName,
  checkedTemplate,
  isNumbered,
  isTemplate,
  readChecksum,
} from '@taskfleet/download-contract/internal'
import { UnrecoverableError } from '@taskfleet/protocol'
import type { Checksums } from './checksums.ts'
import { type DownloadInput, type DownloadOptions, type DownloadState, downloadState } from './contract.ts'
import { checkHeaders, parseUrl } from './http-source.ts'
import { environmentProxy, type HttpProxy, readProxy } from './proxies.ts'
import type { Span } from './segment-map.ts'

const MOST_CONNECTIONS = 16
const USUAL_CONNECTIONS = 8
/** Behind the source of a state with `ahead`, so that workers that know only parts without holes begin anew. */
const IN_SEGMENTS = '+segments'

/** A checked input. */
export interface DownloadRequest {
  url: URL
  /** Other addresses of the same file. */
  mirrors: readonly URL[]
  /** A digest of the URL, for the checkpoint. */
  source: string
  /** The destination's name, where the caller gave one without fields. */
  name: string | undefined
  /** A name with fields, which the server's answer fills. */
  template: string | undefined
  /** The parts of the folder below the root. */
  folder: readonly string[]
  /** What the file must have. */
  checksums: Checksums
  size: number | undefined
  /** What to do with a file that is there; undefined to leave it and fail, unless it is the one that is wanted. */
  expect: DownloadInput['expect']
  maxBytes: number
  /** The most connections at the same time. */
  connections: number
  headers: Record<string, string>
  proxyOf(url: URL): HttpProxy | undefined
}

/** @throws {UnrecoverableError} `BAD_SCHEME`, `BAD_HEADER`, `BAD_FILENAME`, `BAD_FOLDER`, `BAD_CHECKSUM`, `BAD_PROXY`, `TOO_LARGE` */
export function readRequest(input: DownloadInput, options: DownloadOptions): DownloadRequest {
  const url = parseUrl(input.url)
  const headers = Object.fromEntries(
    Object.entries(input.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
  )
  checkHeaders(headers)
  const maxBytes = Math.min(options.maxBytes ?? Number.POSITIVE_INFINITY, input.maxBytes ?? Number.POSITIVE_INFINITY)
  if (input.size !== undefined && input.size > maxBytes) throw tooLarge(input.size, maxBytes)
  if (input.after?.webhook !== undefined) parseUrl(input.after.webhook)
  return {
    url,
    mirrors: (input.mirrors ?? []).map((mirror) => parseUrl(mirror)),
    source: createHash('sha256').update(url.href).digest('hex').slice(0, 32),
    ...naming(input.file),
    folder: checkedFolder(input.folder),
    checksums: {
      ...checkedChecksum(input.checksum),
      ...(input.sha256 !== undefined && { sha256: checkedSha256(input.sha256) }),
    },
    size: input.size,
    expect: input.expect ?? (input.overwrite ? 'overwrite' : undefined),
    maxBytes,
    connections: Math.min(options.connections ?? MOST_CONNECTIONS, input.connections ?? USUAL_CONNECTIONS),
    headers,
    proxyOf: proxyChoice(input.proxy, options.proxy),
  }
}

function naming(file: string | undefined): Pick<DownloadRequest, 'name' | 'template'> {
  if (file === undefined) return { name: undefined, template: undefined }
  return isTemplate(file)
    ? { name: undefined, template: checkedTemplate(file) }
    : { name: checkedName(file), template: undefined }
}

function proxyChoice(ofTask: string | undefined, ofWorker: string | false | undefined): DownloadRequest['proxyOf'] {
  if (ofTask === 'direct') return () => undefined
  if (ofTask !== undefined) {
    const proxy = { url: readProxy(ofTask, 'proxy'), fromTask: true }
    return () => proxy
  }
  if (ofWorker === false) return () => undefined
  const fixed = ofWorker === undefined ? undefined : readProxy(ofWorker)
  return (url) => {
    const proxy = fixed ?? environmentProxy(url, process.env)
    return proxy && { url: proxy, fromTask: false }
  }
}

export const tooLarge = (bytes: number, maxBytes: number) =>
  new UnrecoverableError('TOO_LARGE', `the file has ${bytes} bytes or more, and ${maxBytes} are allowed`)

function checkedSha256(text: string): string {
  const hex = /^(?:sha256:)?([0-9a-f]{64})$/i.exec(text)?.[1]
  if (hex !== undefined) return hex.toLowerCase()
  throw new UnrecoverableError('BAD_CHECKSUM', 'sha256 takes 64 hex digits', { field: 'sha256' })
}

function checkedChecksum(text: string | undefined): Checksums {
  if (text === undefined) return {}
  const [algorithm, hex] = readChecksum(text) ?? []
  if (algorithm !== undefined && hex !== undefined) return { [algorithm]: hex }
  const takes = 'checksum takes sha-512:…, sha-256:…, sha-1:… or md5:…, in hex or base64'
  throw new UnrecoverableError('BAD_CHECKSUM', takes, { field: 'checksum' })
}

/** What a checkpoint calls the source of its bytes. */
export const sourceOf = ({ source }: DownloadRequest, inSegments: boolean): string =>
  inSegments ? `${source}${IN_SEGMENTS}` : source

/** What an earlier attempt left, where it is about the same URL and destination. */
export function readState(saved: unknown, request: DownloadRequest): DownloadState | undefined {
  const { data: state } = downloadState.safeParse(saved)
  if (state === undefined || state.source !== sourceOf(request, state.ahead !== undefined)) return undefined
  const { name = state.file, expect } = request
  if (checkedName(state.file) === name) return state
  return expect === 'rename' && isNumbered(state.file, name) ? state : undefined
}

/** Where the good bytes of a part with holes are. */
export function layoutOf({ bytes, ahead }: DownloadState): { bytes: number; ahead: Span[] } | undefined {
  if (ahead === undefined) return undefined
  const spans: Span[] = []
  for (let i = 0; i + 1 < ahead.length; i += 2) spans.push({ from: ahead[i]!, to: ahead[i + 1]! })
  return { bytes, ahead: spans }
}
