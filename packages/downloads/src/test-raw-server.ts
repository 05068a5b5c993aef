import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** What every behaviour is about to send. */
export const BODY = randomBytes(200_000)
export const SIZE = BODY.length
export const SHA256 = createHash('sha256').update(BODY).digest('hex')

export interface RawRequest {
  method: string
  path: string
  /** Characters stand for bytes. */
  headers: Record<string, string>
  /** 1 for the first request to its path, 2 for the next one. */
  n: number
  /** The first byte that is requested; 0 without a range. */
  from: number
}

export type Headers = Record<string, string | string[] | undefined>

/** One answer: bytes as they go over the wire, and what happens after them. */
export interface RawAnswer {
  /** Characters stand for bytes. */
  head: string
  body?: Buffer | string
  /** `end` by default. */
  then?: 'end' | 'reset' | 'silence' | 'stay'
  /** Before `then`, so that the other side has read what was sent. */
  afterMs?: number
}

export interface RawServer {
  url: string
  port: number
  /** Of a path, all requests so far. */
  requests(path: string): RawRequest[]
  /** Of a path, the body bytes that were sent. */
  sent(path: string): number
  stop(): Promise<void>
}

/** A server that sends exact bytes, also those that `node:http` refuses to send. */
export async function rawServer(answer: (request: RawRequest, socket: Socket) => RawAnswer): Promise<RawServer> {
  const sockets = new Set<Socket>()
  const requests = new Map<string, RawRequest[]>()
  const sent = new Map<string, number>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    let received = ''
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
      const end = received.indexOf('\r\n\r\n')
      if (end < 0) return
      const [first = '', ...lines] = received.slice(0, end).split('\r\n')
      received = received.slice(end + 4)
      const [method = '', path = ''] = first.split(' ')
      const headers = Object.fromEntries(
        lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
      )
      const before = requests.get(path) ?? []
      const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0)
      const request: RawRequest = { method, path, headers, n: before.length + 1, from }
      requests.set(path, [...before, request])
      const { head, body = '', then = 'end', afterMs = 0 } = answer(request, socket)
      const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body
      sent.set(path, (sent.get(path) ?? 0) + bytes.length)
      const finish = () => {
        if (then === 'reset') socket.resetAndDestroy()
        else if (then === 'end') socket.end()
      }
      socket.write(Buffer.concat([Buffer.from(head, 'latin1'), bytes]), () => {
        if (afterMs > 0) setTimeout(finish, afterMs)
        else finish()
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    ...{ port, url: `http://127.0.0.1:${port}` },
    requests: (path) => requests.get(path) ?? [],
    sent: (path) => sent.get(path) ?? 0,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const bytesOf = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

/** A head with a length for the body, unless the headers say otherwise. Text is sent as UTF-8. */
export function reply(status: string, headers: Headers = {}, body: Buffer | string = ''): RawAnswer {
  const all: Headers = { 'Content-Length': String(body.length), ...headers }
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => `${name}: ${one}\r\n`),
  )
  return { head: bytesOf(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n`), body }
}

/** The file from `from` on, as a good server sends it. */
export function file(from = 0, headers: Headers = {}): RawAnswer {
  const range = from > 0 ? { 'Content-Range': `bytes ${from}-${SIZE - 1}/${SIZE}` } : {}
  return reply(from > 0 ? '206 Partial Content' : '200 OK', { ...range, ...headers }, BODY.subarray(from))
}

/** An answer that ends early: `bytes` of its body are sent. */
export const cut = (answer: RawAnswer, bytes: number, then: RawAnswer['then'] = 'end'): RawAnswer => ({
  ...answer,
  body: (answer.body as Buffer).subarray(0, bytes),
  then,
  afterMs: then === 'reset' ? 60 : 0,
})
