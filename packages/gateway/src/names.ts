import { isIP } from 'node:net'

/** A host as HTTP names it (RFC 9110, 7.2): lower case, no trailing dot, no brackets. No port is the scheme's own. */
export interface Authority {
  name: string
  port: number | undefined
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 }

/** @returns undefined if the text is no `host` or `host:port` */
export function authorityOf(text: string): Authority | undefined {
  const [, host, port] = /^(\[[^\]]+\]|[^:/?#@\\\s]+)(?::(\d{0,5}))?$/.exec(text) ?? []
  if (host === undefined || !URL.canParse(`http://${host}`)) return undefined
  return { name: nameOf(new URL(`http://${host}`)), port: port ? Number(port) : undefined }
}

/** Whether an address is at a host. */
export function isAt(address: string, { name, port }: Authority): boolean {
  if (!URL.canParse(address)) return false
  const url = new URL(address)
  return nameOf(url) === name && portOf(url) === (port ?? DEFAULT_PORTS[url.protocol])
}

/** Whether a page of an origin (RFC 6454: scheme, host and port) comes from an address. */
export function isOriginOf(origin: string, address: string): boolean {
  const [from, own] = [webAddress(origin), webAddress(address)]
  return from !== undefined && own !== undefined && from.protocol === own.protocol && isSameHost(from, own)
}

/** Whether an origin is this computer at the port of an address of this computer. */
export function isLoopbackOriginOf(origin: string, address: string): boolean {
  const [from, own] = [webAddress(origin), webAddress(address)]
  if (from === undefined || own === undefined || portOf(from) !== portOf(own)) return false
  return isLoopback(nameOf(from)) && isLoopback(nameOf(own))
}

export const isLoopbackAddress = (address: string): boolean =>
  URL.canParse(address) && isLoopback(nameOf(new URL(address)))

/** Whether a text is a gateway's address: http or https, a host, optionally a port and a path, and nothing else. */
export function isGatewayAddress(text: string): boolean {
  const url = webAddress(text)
  if (url === undefined) return false
  const bare = url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  return bare && /^(\/[\w.~-]+)*\/?$/.test(url.pathname)
}

/** Whether a host means every address of this computer. Other hosts can't connect to such a name. */
export const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::'

/** Whether only this computer can reach a host. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^::ffff:/i, '')
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'))
}

/** The host of an address as an {@link Authority} names it. */
export const nameOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')

const isSameHost = (one: URL, other: URL): boolean => nameOf(one) === nameOf(other) && portOf(one) === portOf(other)
const portOf = ({ port, protocol }: URL): number | undefined => (port === '' ? DEFAULT_PORTS[protocol] : Number(port))

function webAddress(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.protocol in DEFAULT_PORTS ? url : undefined
}
