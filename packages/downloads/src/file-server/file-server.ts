import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type ByteSize, byteSize } from './byte-size.ts'
import { type Content, type FileSpec, openContent } from './content.ts'
import { applyFault } from './faults.ts'
import { planReply } from './reply-plan.ts'
import { type Pace, paceOf, sendBody } from './send.ts'

export interface FileServerOptions {
  /** Loopback by default. */
  host?: string
  port?: number
  /** By path without the leading slash, for example `{ 'big.iso': { size: '1GiB', seed: 7 } }`. */
  files?: Record<string, FileSpec>
  /** Bytes a second for each URL, unless `?rate=` says otherwise. */
  rate?: ByteSize
  /** Serves https. */
  tls?: { key: string; cert: string }
}

/** What has been asked for under one path. */
interface Served {
  requests: number
  /** Body bytes handed to sockets. */
  bytes: number
  /** One entry per request that had one. */
  ranges: string[]
  /** Headers of each request. */
  headers: IncomingMessage['headers'][]
}

export interface FileServer {
  url: string
  port: number
  /** Adds a file or replaces it by other content, which changes its ETag. */
  put(file: string, spec: FileSpec): Promise<void>
  sha256(file: string): Promise<string>
  size(file: string): number
  served(file: string): Served
  /** Resolves when an answer under `?hold=BYTES` has come to that byte. */
  held(file: string): Promise<void>
  /** Lets the held answers of a file go on; later ones are not held. */
  release(file: string): void
  stop(): Promise<void>
}

interface Gate {
  reached: Promise<void>
  markReached(): void
  released: Promise<void>
  release(): void
}

/**
 * Serves large files with byte ranges and strong ETags, and misbehaves on request, by query: `rate=5MB` (over all connections for this URL
 * together), `connectionRate=5MB` (over each), `drop=BYTES` (ends the connection there; `dropTimes=1`), `dropEach=BYTES` (each connection after as many), `reset=BYTES`, `hold=BYTES` (`holdTimes=1`), `fault=NAME`
 * (`faultTimes`, see `faults.ts`), `status=429&retryAfter=…` (`statusTimes`), `redirect=URL`, `hops=N`, `disposition=HEADER`.
 */
export async function startFileServer(options: FileServerOptions = {}): Promise<FileServer> {
  const contents = new Map<string, Content>()
  const served = new Map<string, Served>()
  const gates = new Map<string, Gate>()
  const paces = new Map<string, Pace>()
  const used = new Map<string, number>()

  const put = async (file: string, spec: FileSpec) => void contents.set(file, await openContent(spec))
  await Promise.all(Object.entries(options.files ?? {}).map(([file, spec]) => put(file, spec)))

  const content = (file: string): Content => {
    const found = contents.get(file)
    if (!found) throw new Error(`the file server has no "${file}"; it has ${[...contents.keys()].join(', ')}`)
    return found
  }
  const servedOf = (file: string) => entry(served, file, () => ({ requests: 0, bytes: 0, ranges: [], headers: [] }))
  const gateOf = (file: string) => entry(gates, file, newGate)
  const paceFor = (url: string, query: URLSearchParams): Pace | undefined => {
    const own = query.get('connectionRate')
    if (own !== null) return paceOf(byteSize(own))
    const rate = query.get('rate') ?? options.rate
    return rate === undefined ? undefined : entry(paces, url, () => paceOf(byteSize(rate)))
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://files')
    const query = url.searchParams
    const file = decodeURIComponent(url.pathname.slice(1))
    const count = servedOf(file)
    count.requests++
    count.headers.push(request.headers)
    const { range } = request.headers
    if (range !== undefined) count.ranges.push(range)

    /** Whether a misbehaviour asked for in the query is still due, by its own count per URL. */
    const due = (name: string, usually: number) => {
      if (!query.has(name)) return false
      const key = `${request.url} ${name}`
      const before = used.get(key) ?? 0
      used.set(key, before + 1)
      return before < Number(query.get(`${name}Times`) ?? usually)
    }

    if (query.has('redirect') || query.has('hops')) return redirect(url, response)
    if (due('status', Number.POSITIVE_INFINITY)) return status(query, response)
    const found = contents.get(file)
    if (!found) return void response.writeHead(404).end('no such file')

    const [ifRange] = [request.headers['if-range']].flat()
    let plan = planReply(found, range, ifRange)
    if (due('fault', Number.POSITIVE_INFINITY)) {
      plan = applyFault(query.get('fault') ?? '', plan, found, range !== undefined)
    }
    for (const ending of ['drop', 'reset'] as const) {
      const at = byteSize(query.get(ending) ?? 0)
      if (plan.from < at && due(ending, 1)) plan = { ...plan, to: Math.min(plan.to, at), ending }
    }

    const dropEach = byteSize(query.get('dropEach') ?? 0)
    if (dropEach > 0 && plan.from + dropEach < plan.to) plan = { ...plan, to: plan.from + dropEach, ending: 'drop' }

    if (plan.rawHead) {
      if (plan.rawHead.length > 0) response.socket?.end(`${plan.rawHead.join('\r\n')}\r\n\r\nhello`)
      return
    }
    const disposition = query.get('disposition')
    if (plan.headers['transfer-encoding'] === '') {
      response.useChunkedEncodingByDefault = false
      delete plan.headers['transfer-encoding']
    }
    response.writeHead(plan.status, { ...plan.headers, ...(disposition && { 'content-disposition': disposition }) })
    if (request.method === 'HEAD') return void response.end()

    const gate = gateOf(file)
    await sendBody(response, plan, found, {
      pace: paceFor(request.url ?? '', query),
      hold: due('hold', 1)
        ? { at: byteSize(query.get('hold') ?? ''), reached: gate.markReached, released: gate.released }
        : undefined,
      sent: (bytes) => {
        count.bytes += bytes
      },
    })
  }

  const listener: RequestListener = (request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (response.headersSent) return response.destroy()
      response.writeHead(500).end(String(error))
    })
  }
  const server = options.tls ? createTlsServer(options.tls, listener) : createServer(listener)
  const host = options.host ?? '127.0.0.1'
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, host, resolve)
  })
  const { port } = server.address() as AddressInfo

  return {
    url: `${options.tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    put,
    sha256: async (file) => content(file).sha256(),
    size: (file) => content(file).size,
    served: servedOf,
    held: (file) => gateOf(file).reached,
    release: (file) => gateOf(file).release(),
    stop: () =>
      new Promise((resolve) => {
        for (const gate of gates.values()) gate.release()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function redirect(url: URL, response: ServerResponse): void {
  const hops = Number(url.searchParams.get('hops') ?? 0)
  const next = new URL(url)
  if (hops > 1) next.searchParams.set('hops', String(hops - 1))
  else next.searchParams.delete('hops')
  const location = url.searchParams.get('redirect') ?? `${next.pathname}${next.search}`
  response.writeHead(302, { location }).end()
}

function status(query: URLSearchParams, response: ServerResponse): void {
  const retryAfter = query.get('retryAfter')
  response.writeHead(Number(query.get('status')), retryAfter === null ? {} : { 'retry-after': retryAfter }).end('no')
}

function entry<V>(map: Map<string, V>, key: string, make: () => V): V {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}

function newGate(): Gate {
  let markReached = () => {}
  let release = () => {}
  const reached = new Promise<void>((resolve) => {
    markReached = resolve
  })
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  return { reached, markReached, released, release }
}
