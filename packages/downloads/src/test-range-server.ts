import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface RangeRequestSeen {
  /** 0 for the first request of all. */
  n: number
  from: number
  to: number
  /** Answers that were being sent when it came. */
  others: number
  headers: IncomingHttpHeaders
}

/** What a server does with a request instead of sending what is wanted. */
export interface Misbehaviour {
  /** Answers with it at once. */
  status?: number
  /** Ends the connection after as many bytes. */
  cutAfter?: number
  /** Sends the whole file. */
  ignoreRange?: boolean
  headers?: Record<string, string>
  /** Other bytes than those of the file. */
  body?: Buffer
}

export interface RangeServer {
  url: string
  body: Buffer
  sha256: string
  requests: RangeRequestSeen[]
  /** The most answers at the same time. */
  readonly mostAtOnce: number
  /** Body bytes handed to sockets. */
  readonly sent: number
  /** Resolves when as many bytes were handed over. */
  sentMoreThan(bytes: number): Promise<void>
  stop(): Promise<void>
}

export interface RangeServerOptions {
  size: number
  /** Bytes a second of each connection. */
  rate: number
  misbehave?: (request: RangeRequestSeen) => Misbehaviour | undefined
}

/** A server that gives each connection little, with ranges and a strong ETag. */
export async function rangeServer({ size, rate, misbehave }: RangeServerOptions): Promise<RangeServer> {
  const body = randomBytes(size)
  const requests: RangeRequestSeen[] = []
  const waiting: { bytes: number; resolve: () => void }[] = []
  let active = 0
  let mostAtOnce = 0
  let sent = 0
  const server = createServer((request, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    const seen = {
      n: requests.length,
      from: Number(first ?? 0),
      to: last ? Number(last) + 1 : size,
      others: active,
      headers: request.headers,
    }
    requests.push(seen)
    const bad = misbehave?.(seen) ?? {}
    if (bad.status !== undefined) {
      response.writeHead(bad.status, bad.headers).end()
      return
    }
    const ranged = first !== undefined && !bad.ignoreRange
    const { from, to } = ranged ? seen : { from: 0, to: size }
    response.writeHead(ranged ? 206 : 200, {
      'accept-ranges': 'bytes',
      etag: '"one"',
      'content-length': to - from,
      ...(ranged && { 'content-range': `bytes ${from}-${to - 1}/${size}` }),
      ...bad.headers,
    })
    active += 1
    mostAtOnce = Math.max(mostAtOnce, active)
    response.once('close', () => {
      active -= 1
    })
    send(response, (bad.body ?? body).subarray(from, to), bad.cutAfter)
  })

  function send(response: ServerResponse, bytes: Buffer, cutAfter = Number.POSITIVE_INFINITY): void {
    const started = performance.now()
    let at = 0
    const timer = setInterval(() => {
      const due = Math.min(bytes.length, cutAfter, Math.floor(((performance.now() - started) / 1000) * rate))
      response.write(bytes.subarray(at, due))
      sent += due - at
      at = due
      for (const one of waiting) if (sent > one.bytes) one.resolve()
      if (at === bytes.length) response.end()
      else if (at >= cutAfter) response.socket?.destroySoon()
      else return
      clearInterval(timer)
    }, 10)
    response.once('close', () => clearInterval(timer))
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    body,
    sha256: createHash('sha256').update(body).digest('hex'),
    requests,
    get mostAtOnce() {
      return mostAtOnce
    },
    get sent() {
      return sent
    },
    sentMoreThan: (bytes) => new Promise((resolve) => waiting.push({ bytes, resolve })),
    stop: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
