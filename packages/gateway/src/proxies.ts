import type { IncomingMessage } from 'node:http'
import proxyAddr from '@fastify/proxy-addr'
import { FleetError } from '@taskfleet/protocol'

/** A request as its client sent it to the proxy in front, if one is trusted. */
export interface ClientView {
  /** The host that the client requested. */
  host: string | undefined
  /** Known only with a trusted proxy: one that is not trusted may use TLS too. */
  scheme: 'http' | 'https' | undefined
  /** The prefix that such a proxy removed from the path. */
  prefix: string | undefined
}

/** The proxies whose headers count for the client's address and the requested address. */
export class Proxies {
  /** @param hop how many proxies lie between the address and this gateway */
  readonly trust: (address: string, hop: number) => boolean

  /**
   * @param addresses addresses, networks such as `10.0.0.0/8`, or `loopback`, `linklocal`, `uniquelocal`; none by default
   * @throws {FleetError} `BAD_TRUST_PROXY`
   */
  constructor(addresses: readonly string[] = []) {
    try {
      this.trust = proxyAddr.compile([...addresses])
    } catch (error) {
      const wanted = 'addresses, networks such as 10.0.0.0/8, and loopback, linklocal or uniquelocal'
      throw new FleetError('BAD_TRUST_PROXY', `Trusted proxies must be ${wanted}: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }

  /** The last address on the way here that is not a trusted proxy's. */
  addressOf(request: IncomingMessage): string {
    return proxyAddr(request, this.trust)
  }

  viewOf(request: IncomingMessage): ClientView {
    const { headers, socket } = request
    const own = { host: headers.host, scheme: undefined, prefix: undefined }
    if (!this.trust(socket.remoteAddress ?? '', 0)) return own
    const scheme = lastOf(headers['x-forwarded-proto'])?.toLowerCase()
    const prefix = lastOf(headers['x-forwarded-prefix'])
    return {
      host: lastOf(headers['x-forwarded-host']) ?? headers.host,
      scheme: scheme === 'http' || scheme === 'https' ? scheme : undefined,
      prefix: prefix !== undefined && isBasePath(prefix) ? withoutSlash(prefix) : undefined,
    }
  }
}

/**
 * A base path in its normal form: `/fleet`, or '' for the root.
 *
 * @throws {FleetError} `BAD_BASE_PATH`
 */
export function basePathOf(text = ''): string {
  if (isBasePath(text)) return withoutSlash(text)
  throw new FleetError('BAD_BASE_PATH', `'${text}' is not a base path such as /fleet`)
}

/** Whether the path of a request is a base path or lies below it. */
export function isBelow(url: string | undefined, base: string): boolean {
  return url?.startsWith(base) === true && /^($|[/?])/.test(url.slice(base.length))
}

/** The rest of a path below a base path; a path that is not below it stays. */
export function withoutBase(url: string, base: string): string {
  if (!isBelow(url, base)) return url
  const rest = url.slice(base.length)
  return rest.startsWith('/') ? rest : `/${rest}`
}

const isBasePath = (text: string): boolean => /^(\/[\w.~-]+)*\/?$/.test(text) && !/\/\.\.?(\/|$)/.test(text)
const withoutSlash = (path: string): string => path.replace(/\/$/, '')

/** With several proxies, the nearest one. */
function lastOf(header: string | string[] | undefined): string | undefined {
  const last = [header].flat().at(-1)?.split(',').at(-1)?.trim()
  return last === '' ? undefined : last
}
