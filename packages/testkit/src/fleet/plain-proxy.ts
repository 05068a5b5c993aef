import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

interface PlainProxyOptions {
  /** The gateway's address for the proxy, read at each request. */
  target: string | (() => string)
  /** The part of the path that the proxy removes: `location /fleet/ { proxy_pass http://gateway/; }`. */
  strip?: string
  /** Headers for the gateway; the `Host` is the target's by default. */
  headers?: Record<string, string>
  /** Takes requests for a websocket and never answers them. */
  swallowUpgrades?: boolean
}

/** Behaves like nginx by default: HTTP/1.0 to the gateway, a connection for each request, no upgrades, its own `Host`. */
export async function startPlainProxy(
  test: { cleanup(act: () => Promise<unknown> | unknown): void },
  { target, strip = '', headers = {}, swallowUpgrades = false }: PlainProxyOptions,
): Promise<string> {
  const open = new Set<Socket>()
  const server = createServer((request, response) => {
    const { hostname, port, host } = new URL(typeof target === 'string' ? target : target())
    if (swallowUpgrades && request.headers.upgrade !== undefined) return
    const { connection: _, upgrade: _upgrade, 'keep-alive': _keep, host: asked, ...passed } = request.headers
    const url = request.url!.startsWith(strip) ? request.url!.slice(strip.length) || '/' : request.url!
    const sent = { ...passed, host, connection: 'close', 'x-asked-for': asked, ...headers }
    const lines = Object.entries(sent).map(([name, value]) => `${name}: ${String(value)}\r\n`)
    const upstream = connect({ host: hostname, port: Number(port) })
    open.add(upstream)
    upstream.on('close', () => open.delete(upstream))
    upstream.on('error', () => response.destroy())
    request.socket.on('error', () => upstream.destroy())
    response.on('close', () => upstream.destroy())
    upstream.write(`${request.method} ${url} HTTP/1.0\r\n${lines.join('')}\r\n`)
    request.pipe(upstream, { end: false })
    upstream.pipe(request.socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  test.cleanup(() => {
    server.close()
    server.closeAllConnections()
    for (const one of open) one.destroy()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
