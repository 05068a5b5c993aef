import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import { BlockList, isIP, isIPv6, type LookupFunction, type OnReadOpts, type Socket } from 'node:net'
import { UnrecoverableError } from '@taskfleet/protocol'
import { buildConnector } from 'undici'

export interface GuardOptions {
  allowPrivate?: boolean | undefined
  blockedAddresses?: readonly string[] | undefined
  lookup?: LookupFunction | undefined
  /** Any address may be dialled: the worker's operator has chosen it. */
  unguarded?: boolean | undefined
}

// IANA's special-purpose registries for IPv4 and IPv6, without link-local, which has its own list.
const PRIVATE = blockList(
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16',
  '198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4',
  '::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fec0::/10 ff00::/8',
)
const LINK_LOCAL = blockList('169.254.0.0/16 fe80::/10')
const NAT64 = blockList('64:ff9b::/96')

function blockList(...lines: string[]): BlockList {
  const list = new BlockList()
  for (const subnet of lines.join(' ').split(' ')) {
    const [net = '', prefix] = subnet.split('/')
    list.addSubnet(net, Number(prefix), family(net))
  }
  return list
}

/** Why `address` must not be dialled; `undefined` when it may. IPv4-mapped addresses fall under the IPv4 rules. */
export function whyBlocked(address: string, port: number, options: GuardOptions): string | undefined {
  if (options.unguarded) return undefined
  const embedded = NAT64.check(address, family(address)) ? lastFourBytes(address) : undefined
  if (embedded !== undefined) return whyBlocked(embedded, port, options)
  const named = options.blockedAddresses?.some((entry) =>
    [address, `${address}:${port}`, `[${address}]:${port}`].includes(entry),
  )
  if (named) return 'is one of the blocked addresses'
  if (LINK_LOCAL.check(address, family(address))) return 'is link-local'
  if (!options.allowPrivate && PRIVATE.check(address, family(address))) return 'is not a public address'
  return undefined
}

/** The IPv4 address in the last 32 bits, as NAT64 has it (RFC 6052). */
function lastFourBytes(address: string): string {
  // The URL parser writes every notation, dotted ends included, as hex groups.
  const [high = '0', low = '0'] = new URL(`http://[${address}]`).hostname.slice(1, -1).split(':').slice(-2)
  return [high, low]
    .flatMap((group) => [Number.parseInt(group || '0', 16) >> 8, Number.parseInt(group || '0', 16) & 255])
    .join('.')
}

const hostOf = (hostname: string): string => hostname.replace(/^\[|\]$/g, '')
const portOf = ({ port, protocol }: { port: string; protocol: string }): number =>
  Number(port) || (protocol === 'https:' ? 443 : 80)

/** Refuses the address that stands in a URL itself; one by name is judged when it is resolved. */
export function whyRefused(url: URL, options: GuardOptions): Error | undefined {
  const host = hostOf(url.hostname)
  const why = isIP(host) ? whyBlocked(host, portOf(url), options) : undefined
  return why === undefined ? undefined : blocked(`${host} ${why}`)
}

/** Name resolution that fails for a name with a refused address. */
export function lookupFor(url: URL, options: GuardOptions): LookupFunction {
  const host = hostOf(url.hostname)
  return guardedLookup(options.lookup ?? dnsLookup, (address) => {
    const why = whyBlocked(address, portOf(url), options)
    return why === undefined ? undefined : blocked(`${host} (${address}) ${why}`)
  })
}

/**
 * A connector for undici that checks the address that is really dialled: the URL's own, every one that its name resolves to,
 * and, once connected, the peer's. A second resolution by someone else can't slip in between. What it receives goes to `onread`.
 */
export function guardedConnector(
  options: GuardOptions & { connectTimeoutMs: number; ca?: string | undefined },
  onread: OnReadOpts,
): buildConnector.connector {
  const refuse = (address: string, port: number, host: string) => {
    const why = whyBlocked(address, port, options)
    return why === undefined ? undefined : blocked(`${host === address ? address : `${host} (${address})`} ${why}`)
  }
  return (target, callback) => {
    const port = portOf(target)
    const host = hostOf(target.hostname)
    const early = isIP(host) ? refuse(host, port, host) : undefined
    if (early) return callback(early, null)
    const socketOptions = {
      timeout: options.connectTimeoutMs,
      lookup: guardedLookup(options.lookup ?? dnsLookup, (address) => refuse(address, port, host)),
      // Passed on to the socket, though the connector's types don't list them.
      highWaterMark: 2 ** 18,
      onread,
      ...(options.ca !== undefined && { ca: options.ca }),
    }
    buildConnector(socketOptions)(target, (...[error, socket]: [Error, null] | [null, Socket]) => {
      if (error) return callback(error, null)
      const late = refuse(socket.remoteAddress ?? '0.0.0.0', port, host)
      if (!late) return callback(null, socket)
      socket.destroy()
      callback(late, null)
    })
  }
}

/** One blocked address among several is enough: which of them would be dialled is a matter of luck. */
function guardedLookup(lookup: LookupFunction, refuse: (address: string) => Error | undefined): LookupFunction {
  return (hostname, lookupOptions, callback) => {
    lookup(hostname, lookupOptions, (error, addresses, addressFamily) => {
      if (error) return callback(error, addresses, addressFamily)
      const all: LookupAddress[] =
        typeof addresses === 'string' ? [{ address: addresses, family: addressFamily ?? 0 }] : addresses
      const refused = all.map(({ address }) => refuse(address)).find((refusal) => refusal !== undefined)
      callback(refused ?? null, addresses, addressFamily)
    })
  }
}

const blocked = (what: string) =>
  new UnrecoverableError('BLOCKED_ADDRESS', `${what}: downloads may dial it only where the worker's options allow it`)

function family(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4'
}
