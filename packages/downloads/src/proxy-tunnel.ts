import http from 'node:http'
import https from 'node:https'
import type { OnReadOpts, Socket } from 'node:net'
import { FleetError } from '@taskfleet/protocol'
import { buildConnector } from 'undici'
import { type GuardOptions, lookupFor, whyRefused } from './address-guard.ts'
import { networkFailure, shown, statusFailure } from './failures.ts'
import { readHeaders } from './http-headers.ts'
import { type HttpProxy, proxyAuthorization } from './proxies.ts'

interface TunnelOptions extends GuardOptions {
  connectTimeoutMs: number
  ca?: string | undefined
}

/** A connector for undici that reaches an https: origin through a proxy: only the proxy dials it, and what passes through is encrypted. */
export function tunnelConnector(
  proxy: HttpProxy,
  { hostname, port }: URL,
  options: TunnelOptions,
  onread: OnReadOpts,
  signal: AbortSignal,
): buildConnector.connector {
  const { connectTimeoutMs: timeout, ca } = options
  // Passed on to the socket, though the connector's types don't list it.
  const secured = buildConnector({ timeout, ...({ onread } as object), ...(ca !== undefined && { ca }) })
  return (target, callback) => {
    openTunnel(proxy, `${hostname}:${port || '443'}`, options, signal).then(
      (httpSocket) => secured({ ...target, httpSocket }, callback),
      (error: Error) => callback(error, null),
    )
  }
}

/** @param authority the host and port to reach, as `CONNECT` names them (RFC 9110, 9.3.6) */
function openTunnel(
  { url, fromTask }: HttpProxy,
  authority: string,
  { connectTimeoutMs, ca, ...guard }: TunnelOptions,
  signal: AbortSignal,
): Promise<Socket> {
  const guarded = { ...guard, unguarded: !fromTask }
  return new Promise((resolve, reject) => {
    const refusal = whyRefused(url, guarded)
    if (refusal) return reject(refusal)
    const { request } = url.protocol === 'https:' ? https : http
    const asked = request({
      ...{ method: 'CONNECT', host: url.hostname.replace(/^\[|\]$/g, ''), path: authority, agent: false, signal },
      ...(url.port !== '' && { port: Number(url.port) }),
      headers: { host: authority, ...proxyAuthorization(url) },
      lookup: lookupFor(url, guarded),
      ...(ca !== undefined && { ca }),
    })
    const timer = setTimeout(() => {
      asked.destroy(new FleetError('CONNECT_TIMEOUT', `the proxy ${shown(url)} did not connect in time`))
    }, connectTimeoutMs)
    asked.once('connect', (response, socket: Socket, head) => {
      clearTimeout(timer)
      const status = response.statusCode ?? 0
      if (status >= 200 && status < 300) {
        // The TLS socket reports that the connection has closed. Without a listener, an error here would end the process.
        socket.on('error', () => undefined)
        if (head.length > 0) socket.unshift(head)
        return resolve(socket)
      }
      socket.destroy()
      reject(statusFailure(status, readHeaders(response.headers), url, 'PROXY'))
    })
    asked.once('error', (error) => {
      clearTimeout(timer)
      reject(networkFailure(error, url, false))
    })
    asked.end()
  })
}
