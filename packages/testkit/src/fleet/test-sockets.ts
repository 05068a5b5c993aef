import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { type AddressInfo, connect as connectTcp, createServer, type Socket as TcpSocket } from 'node:net'
import { ChangeFeed } from '@taskfleet/core/internal'
import { Gateway, type GatewayOptions } from '@taskfleet/gateway'
import {
  type Ack,
  applyDelta,
  type QueryDelta,
  type QueryPart,
  type QueryReset,
  type SubscribeAnswer,
  type TaskRow,
} from '@taskfleet/protocol'
import { pino } from 'pino'
import { io, type Socket } from 'socket.io-client'
import type { useFleet } from './use-fleet.ts'

/** Each test has its own queue, so that no runner claims another test's tasks. */
export const ownQueue = (): string => `queue-${randomUUID().slice(0, 8)}`

export const LOOPBACK = { host: '127.0.0.1', port: 0 }
export const silent = pino({ level: 'silent' })

type TestFleet = ReturnType<typeof useFleet>
export type ConnectError = Error & { data?: { code?: string; status?: string; publicUrl?: string } }
/** An answer with any fields that a test reads. */
export type AnyAck<T = Record<string, unknown>> = Ack<T>

/** A plain socket.io client, to test the messages themselves instead of our own client. */
export function open(url: string, token?: string, options: object = {}): Socket {
  return io(url, {
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
    auth: token === undefined ? {} : { token },
    ...options,
  })
}

/** Resolves with the event's next body. Call it before the action that causes the event. */
export function next<T = unknown>(socket: Socket, event: string): Promise<T> {
  return new Promise((resolve) => socket.once(event, (body: T) => resolve(body)))
}

/** Stops reading, like a browser whose computer sleeps. Returns the function that continues. */
export function stopReading(socket: Socket): () => void {
  const { ws } = (socket.io.engine as unknown as { transport: { ws: { pause(): void; resume(): void } } }).transport
  ws.pause()
  return () => ws.resume()
}

/** Resolves with the server's error, or undefined if it accepts. */
export function refusal(socket: Socket): Promise<ConnectError | undefined> {
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(undefined))
    socket.once('connect_error', (error) => resolve(error as ConnectError))
  })
}

/** @param auth what the handshake says besides the token, such as `{ parts: true }` */
export async function connect(test: TestFleet, url: string, token?: string, auth: object = {}): Promise<Socket> {
  const socket = open(url, undefined, { auth: { ...auth, ...(token === undefined ? {} : { token }) } })
  test.cleanup(() => socket.disconnect())
  const refused = await refusal(socket)
  if (refused !== undefined) throw refused
  return socket
}

export function ask<T = Record<string, unknown>>(
  socket: Socket,
  event: string,
  ...args: unknown[]
): Promise<AnyAck<T>> {
  return socket.timeout(10_000).emitWithAck(event, ...args) as Promise<AnyAck<T>>
}

/** @throws the refusal's code */
export async function asked<T = Record<string, unknown>>(socket: Socket, event: string, request: unknown): Promise<T> {
  const answer = await ask<T>(socket, event, request)
  if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`)
  return answer
}

export const codeOf = (answer: AnyAck<unknown>): string => (answer.ok ? 'ok' : answer.error.code)

/** A subscription as the protocol describes it: deltas in order, or a reset. */
export class HeldRows {
  readonly subscription: string
  epoch: string
  seq: number
  rows: readonly TaskRow[]
  deltas = 0
  resets = 0
  /** The parts that have arrived, up to the last one. */
  #parts: QueryPart<TaskRow>[] = []
  /** Whether it has rows. */
  loaded: boolean

  private constructor(answer: SubscribeAnswer<TaskRow>) {
    this.subscription = answer.subscription
    this.epoch = answer.epoch
    this.seq = answer.seq
    this.rows = answer.rows ?? []
    this.loaded = answer.parts !== true
  }

  static async open(socket: Socket, query: object): Promise<HeldRows> {
    const early: ['delta' | 'reset' | 'part', unknown][] = []
    let held: HeldRows | undefined
    socket.on('queryPart', (part: QueryPart<TaskRow>) => (held ? held.part(part) : early.push(['part', part])))
    socket.on('queryDelta', (delta: QueryDelta<TaskRow>) => (held ? held.delta(delta) : early.push(['delta', delta])))
    socket.on('queryReset', (reset: QueryReset<TaskRow>) => (held ? held.reset(reset) : early.push(['reset', reset])))
    held = new HeldRows(await asked<SubscribeAnswer<TaskRow>>(socket, 'subscribeQuery', query))
    for (const [kind, body] of early) {
      if (kind === 'delta') held.delta(body as QueryDelta<TaskRow>)
      else if (kind === 'part') held.part(body as QueryPart<TaskRow>)
      else held.reset(body as QueryReset<TaskRow>)
    }
    return held
  }

  delta(delta: QueryDelta<TaskRow>): void {
    if (delta.subscription !== this.subscription) return
    if (!this.loaded) throw new Error('a delta came before the last part')
    if (delta.seq !== this.seq + 1) throw new Error(`a gap: ${this.seq} is followed by ${delta.seq}`)
    this.seq = delta.seq
    this.deltas += 1
    this.rows = applyDelta<TaskRow>(this.rows, delta)
  }

  part(part: QueryPart<TaskRow>): void {
    if (part.subscription !== this.subscription) return
    if (part.part === 0) this.#parts = []
    if (part.part !== this.#parts.length) throw new Error(`part ${part.part} follows ${this.#parts.length} parts`)
    this.loaded = false
    this.#parts.push(part)
    if (part.end === undefined) return
    const byId = new Map(this.#parts.flatMap(({ rows }) => rows.map((row) => [row._id, row])))
    const rows = part.end.ids.map((id) => byId.get(id)!)
    this.loaded = true
    this.reset({ subscription: part.subscription, reason: 'SLOW_CONSUMER', ...part.end, rows })
  }

  reset(reset: QueryReset<TaskRow>): void {
    if (reset.subscription !== this.subscription) return
    this.resets += 1
    this.epoch = reset.epoch
    this.seq = reset.seq
    this.rows = reset.rows
  }
}

/** A gateway of its own on the test's database, with its change feed. */
export async function startGateway(test: TestFleet, over: Partial<GatewayOptions> = {}): Promise<Gateway> {
  const feed = new ChangeFeed(test.database)
  test.cleanup(() => feed.stop())
  await feed.start()
  const gateway = new Gateway({ database: test.database, feed, listen: LOOPBACK, log: silent, ...over })
  test.cleanup(() => gateway.stop())
  await gateway.start()
  return gateway
}

/** The server's answer to an upgrade: 101, or the status and body of its error. */
export function upgrade(
  url: string,
  headers: Record<string, string>,
  path = '/socket.io/?EIO=4&transport=websocket',
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const key = { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version': '13' }
    const sent = request({
      host: hostname,
      port,
      path,
      headers: { Connection: 'Upgrade', Upgrade: 'websocket', ...key, ...headers },
    })
    sent.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve({ status: response.statusCode ?? 0, body: '' })
    })
    sent.on('response', (response) => {
      let body = ''
      response.on('data', (chunk) => (body += String(chunk)))
      response.on('close', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

/** A TCP relay in front of a server, whose connections a test can cut. */
export async function startProxy(
  test: TestFleet,
  target: string,
): Promise<{ url: string; cut(): void; refuse(): void }> {
  const { hostname, port } = new URL(target)
  const open = new Set<TcpSocket>()
  let refusing = false
  const server = createServer((client) => {
    if (refusing) {
      client.destroy()
      return
    }
    const upstream = connectTcp({ host: hostname, port: Number(port) })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(one)
      one.on('error', () => undefined)
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const one of open) one.destroy()
  }
  test.cleanup(() => {
    cut()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    refuse: () => {
      refusing = true
      cut()
    },
  }
}
