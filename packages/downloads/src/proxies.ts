import { BlockList, isIP, isIPv6 } from 'node:net'
import { UnrecoverableError } from '@taskfleet/protocol'

type Environment = Readonly<Record<string, string | undefined>>

/** A proxy that requests go through. */
export interface HttpProxy {
  url: URL
  /** Whether the task names it. Then its address falls under the same rules as those of downloads. */
  fromTask: boolean
}

/** @throws {UnrecoverableError} `BAD_PROXY` */
export function readProxy(text: string, field?: string): URL {
  const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  const url = URL.canParse(full) ? new URL(full) : undefined
  if (url !== undefined && ['http:', 'https:'].includes(url.protocol) && url.hostname !== '') return url
  const what = url === undefined ? 'the proxy is no URL' : `a proxy of the kind ${url.protocol} can't be used`
  throw new UnrecoverableError(
    'BAD_PROXY',
    `${what}: give an http: or https: URL`,
    field === undefined ? {} : { field },
  )
}

/**
 * The proxy that the environment names for a URL, as curl reads it. Loopback addresses are dialled directly, as browsers do.
 *
 * @throws {UnrecoverableError} `BAD_PROXY`
 */
export function environmentProxy(url: URL, env: Environment): URL | undefined {
  const named = (name: string) => env[name.toLowerCase()] || env[name.toUpperCase()] || undefined
  const proxy = named(`${url.protocol.slice(0, -1)}_proxy`) ?? named('all_proxy')
  if (proxy === undefined || isLoopback(hostOf(url)) || isExempt(url, named('no_proxy') ?? '')) return undefined
  return readProxy(proxy)
}

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host.endsWith('.localhost') || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

/** Whether `NO_PROXY` names the host: `*`, a domain with or without a dot in front, an address, a network; each with or without a port. */
function isExempt(url: URL, list: string): boolean {
  const host = hostOf(url)
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === '') return false
      if (entry === '*') return true
      const [, bracketed, plain = '', entryPort] = /^(?:\[([^\]]+)\]|([^:]*|.*:.*:.*?))(?::(\d+))?$/.exec(entry) ?? []
      if (entryPort !== undefined && entryPort !== port) return false
      const name = bracketed ?? plain
      if (isIP(host) > 0) return isInNetwork(host, name)
      const domain = name.replace(/^\*?\./, '').replace(/\.$/, '')
      return domain !== '' && (host === domain || host.endsWith(`.${domain}`))
    })
}

function isInNetwork(address: string, network: string): boolean {
  const [net = '', prefix] = network.split('/')
  if (isIP(net) === 0 || isIP(net) !== isIP(address)) return false
  const kind = isIPv6(net) ? 'ipv6' : 'ipv4'
  const bits = prefix === undefined ? (kind === 'ipv6' ? 128 : 32) : Number(prefix)
  if (!Number.isInteger(bits) || bits < 0 || bits > (kind === 'ipv6' ? 128 : 32)) return false
  const list = new BlockList()
  list.addSubnet(net, bits, kind)
  return list.check(address, kind)
}

/** What a proxy wants to see, from the user name and password in its URL. */
export function proxyAuthorization({ username, password }: URL): Record<string, string> {
  if (!username && !password) return {}
  const pair = `${safelyDecoded(username)}:${safelyDecoded(password)}`
  return { 'proxy-authorization': `Basic ${Buffer.from(pair).toString('base64')}` }
}

function safelyDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
