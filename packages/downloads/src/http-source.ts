import { whyBadHeader } from '@taskfleet/download-contract/internal'
import { FleetError, UnrecoverableError } from '@taskfleet/protocol'
import { shown, statusFailure } from './failures.ts'
import { type ExchangeOptions, exchange, type Reply } from './http-exchange.ts'
import type { OriginGate } from './origin-gate.ts'
import type { RangeRequest } from './resume-plan.ts'

/** As many as browsers follow. */
const MOST_REDIRECTS = 20
const REDIRECTS = new Set([301, 302, 303, 307, 308])
/** Statuses that the resume rules decide about. */
const FOR_THE_PLAN = new Set([200, 203, 206, 416])

/** Where the bytes come from: asks the URL afresh each time, along its redirects. */
export interface Source {
  /** @throws {FleetError} for every answer other than a whole file, a range or `416` */
  open(range?: RangeRequest): Promise<Reply>
}

export function parseUrl(text: string, base?: URL): URL {
  const url = URL.canParse(text, base?.href) ? new URL(text, base) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  const what = url ? `${url.protocol}…` : 'the url'
  throw new UnrecoverableError('BAD_SCHEME', `${what} can't be downloaded: give an http: or https: URL`, {
    field: 'url',
  })
}

export function checkHeaders(headers: Record<string, string>): void {
  for (const [name, value] of Object.entries(headers)) {
    const wrong = whyBadHeader(name, value)
    if (wrong)
      throw new UnrecoverableError('BAD_HEADER', `header ${JSON.stringify(name)} ${wrong}`, { field: 'headers' })
  }
}

/** @param gate not for connections beside the first one, which a server may refuse because there are several */
export function httpSource(
  first: URL,
  callerHeaders: Record<string, string>,
  options: ExchangeOptions,
  signal: AbortSignal,
  gate?: OriginGate,
): Source {
  const own = { ...basicAuthorization(first), ...callerHeaders }

  async function open(range?: RangeRequest): Promise<Reply> {
    let url = first
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      // Any header may hold a secret, so all of them stay with the origin that they were meant for.
      const headers = {
        accept: '*/*',
        'accept-encoding': 'identity',
        'user-agent': 'taskfleet-download',
        ...(url.origin === first.origin && own),
        ...(range && { range: `bytes=${range.from}-${range.to === undefined ? '' : range.to - 1}` }),
        ...(range?.ifRange !== undefined && { 'if-range': range.ifRange }),
      }
      gate?.check(url.origin)
      const reply = await exchange(url, headers, options, signal)
      if (FOR_THE_PLAN.has(reply.status)) return reply
      reply.stop(new Error('not needed'))
      const { location } = reply.headers
      if (!REDIRECTS.has(reply.status) || !location) {
        const failure = statusFailure(reply.status, reply.headers, url)
        gate?.refused(url.origin, reply.status, failure)
        throw failure
      }
      url = nextHop(url, location)
    }
    throw new UnrecoverableError('TOO_MANY_REDIRECTS', `${shown(first)} redirects more than ${MOST_REDIRECTS} times`)
  }
  return { open }
}

/** Servers send other characters than ASCII as they are; a URL has their bytes percent-encoded. */
const encoded = (location: string): string =>
  location.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`)

function nextHop(from: URL, location: string): URL {
  const next = parseUrl(encoded(location), from)
  if (from.protocol === 'https:' && next.protocol === 'http:') {
    const why = 'redirects from https to http, where anybody can change the bytes'
    throw new UnrecoverableError('DOWNGRADE', `${shown(from)} ${why}`)
  }
  // A server doesn't get to choose credentials.
  next.username = ''
  next.password = ''
  return next
}

function basicAuthorization(url: URL): Record<string, string> {
  if (!url.username && !url.password) return {}
  try {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
    return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
  } catch (cause) {
    const message = 'the user name or password in the url is not percent-encoded UTF-8'
    throw new FleetError('BAD_URL', message, { field: 'url', cause })
  }
}
