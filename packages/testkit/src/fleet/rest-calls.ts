import { connect } from 'node:net'
import { KeyStore, type Scope } from '@taskfleet/core'
import type { Gateway, GatewayOptions } from '@taskfleet/gateway'
import { startGateway } from './test-sockets.ts'
import type { useFleet } from './use-fleet.ts'

type TestFleet = ReturnType<typeof useFleet>

export interface RestAnswer {
  status: number
  headers: Headers
  text: string
  /** Any fields that a test reads. */
  body: Record<string, unknown>
}

export interface RestCaller {
  gateway: Gateway
  /** @param body sent as it is when it is a text or bytes, as JSON otherwise */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<RestAnswer>
  /** The same with another key, or with none. */
  as(token: string | undefined): RestCaller
}

/** A gateway with a high rate limit, and a key with these scopes that is sent with every request. */
export async function startRest(
  test: TestFleet,
  { scopes = ['read', 'write', 'control', 'admin'], ...over }: Partial<GatewayOptions> & { scopes?: Scope[] } = {},
): Promise<RestCaller> {
  // First the key: a gateway checks only from time to time whether there is one.
  const token = await makeKey(test, { scopes })
  return callerOf(await startGateway(test, { rateLimit: { requests: 100_000, within: 1_000 }, ...over }), token)
}

export async function makeKey(
  test: TestFleet,
  key: { scopes: Scope[]; queues?: string[]; names?: string[]; expiresAt?: Date },
): Promise<string> {
  return (await new KeyStore(test.database.db).create({ name: 'test', ...key })).token
}

export function callerOf(gateway: Gateway, token?: string): RestCaller {
  return {
    gateway,
    as: (other) => callerOf(gateway, other),
    async call(method, path, body, headers = {}) {
      const sent =
        body === undefined || typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
      const answer = await fetch(`${gateway.url}/api/v1${path}`, {
        method,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(sent === undefined ? {} : { body: sent as string }),
      })
      const text = await answer.text()
      const isJson = /\/(problem\+)?json/.test(answer.headers.get('content-type') ?? '')
      return {
        status: answer.status,
        headers: answer.headers,
        text,
        body: isJson ? (JSON.parse(text) as RestAnswer['body']) : {},
      }
    },
  }
}

/** An answer in short: its status and its code. */
export const told = ({ status, body }: RestAnswer): string => `${status} ${String(body.code ?? '')}`.trim()

/** The server's answer to raw bytes. The connection stays open until the server ends it or has answered. */
export function sendRaw(url: string, text: string, more?: (write: (text: string) => void) => void): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(port), hostname, () => {
      socket.write(text)
      more?.((part) => void (socket.writable && socket.write(part)))
    })
    socket.on('data', (chunk) => {
      answer += String(chunk)
    })
    socket.on('error', (error) => (answer === '' ? reject(error) : resolve(answer)))
    socket.on('close', () => resolve(answer))
  })
}
