import { asError } from '@taskfleet/core'
import { AttemptAborted, FleetError, RetryAfterError, UnrecoverableError } from '@taskfleet/protocol'
import { requestedDelay } from './retry-after.ts'

/** A URL for messages and logs: query and user info may hold secrets. */
export const shown = (url: URL): string => `${url.origin}${url.pathname}`

export const leaseLost = (what: string) =>
  new AttemptAborted('LEASE_LOST', `${what}: another attempt owns the task now`)

export const codeOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : ''

const TLS_CODES: Record<string, string> = {
  CERT_HAS_EXPIRED: 'TLS_EXPIRED',
  CERT_NOT_YET_VALID: 'TLS_NOT_YET_VALID',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'TLS_SELF_SIGNED',
  SELF_SIGNED_CERT_IN_CHAIN: 'TLS_SELF_SIGNED',
  ERR_TLS_CERT_ALTNAME_INVALID: 'TLS_WRONG_HOST',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'TLS_UNTRUSTED',
  UNABLE_TO_GET_ISSUER_CERT: 'TLS_UNTRUSTED',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'TLS_UNTRUSTED',
  CERT_REVOKED: 'TLS_REVOKED',
  CERT_UNTRUSTED: 'TLS_UNTRUSTED',
}

const NETWORK_CODES: Record<string, [code: string, what: string]> = {
  UND_ERR_HEADERS_TIMEOUT: ['STALLED', 'did not answer the request in time'],
  UND_ERR_CONNECT_TIMEOUT: ['CONNECT_TIMEOUT', 'did not accept the connection in time'],
  ETIMEDOUT: ['CONNECT_TIMEOUT', 'did not accept the connection in time'],
  ECONNREFUSED: ['CONNECT_REFUSED', 'refused the connection'],
  EHOSTUNREACH: ['UNREACHABLE', 'is unreachable from this host'],
  ENETUNREACH: ['UNREACHABLE', 'is unreachable from this host'],
  ENOTFOUND: ['HOST_NOT_FOUND', 'has a name that does not resolve'],
  EAI_AGAIN: ['HOST_NOT_FOUND', 'has a name that could not be resolved just now'],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['LENGTH_MISMATCH', 'announced another length than it sent'],
  UND_ERR_HEADERS_OVERFLOW: ['BAD_RESPONSE', 'sent headers that are too large'],
}

export const stalled = (url: URL) => new FleetError('STALLED', `${shown(url)} sent nothing for too long`)

/** What went wrong between us and `url`, as the error that decides about the task: an untrusted server is not asked again. */
export function networkFailure(thrown: unknown, url: URL, inBody: boolean): Error {
  if (thrown instanceof FleetError) return thrown
  const cause = thrown instanceof AggregateError ? asError(thrown.errors[0]) : asError(thrown)
  const code = codeOf(cause)
  const tls = TLS_CODES[code] ?? (/^(ERR_SSL_|ERR_TLS_|EPROTO)/.test(code) ? 'TLS_FAILED' : undefined)
  if (tls) return new UnrecoverableError(tls, `${shown(url)} has no valid certificate: ${cause.message}`, { cause })
  const [known, what] = NETWORK_CODES[code] ?? []
  if (known) return new FleetError(known, `${shown(url)} ${what}`, { cause })
  if (cause.name === 'HTTPParserError') {
    const parserCode = /content-length|transfer-encoding/i.test(cause.message) ? 'LENGTH_MISMATCH' : 'BAD_RESPONSE'
    return new FleetError(parserCode, `${shown(url)} does not answer in HTTP: ${cause.message}`, { cause })
  }
  // An orderly close in the middle, unlike a reset, is the server saying that there is no more.
  if (inBody && code === 'UND_ERR_SOCKET') {
    return new FleetError('LENGTH_MISMATCH', `${shown(url)} ended the connection before the end of the file`, { cause })
  }
  return new FleetError('CONNECTION_LOST', `the connection to ${shown(url)} was lost: ${cause.message}`, { cause })
}

const DISK_ADVICE: Record<string, string> = {
  ENOSPC: 'the disk is full; free some space',
  EDQUOT: 'the disk quota is used up',
  EIO: 'the disk reports an error',
  EROFS: 'the folder is read-only',
  EACCES: 'the worker may not write there',
  EPERM: 'the worker may not write there',
}

/** A disk that another host does not share, or that has room again later, is worth another try; a read-only one is not. */
export function diskFailure(thrown: unknown, path: string): Error {
  if (thrown instanceof FleetError) return thrown
  const cause = asError(thrown)
  const code = codeOf(cause) || 'DISK_ERROR'
  const Failure = ['EROFS', 'EACCES', 'EPERM'].includes(code) ? UnrecoverableError : FleetError
  return new Failure(code, `${path}: ${DISK_ADVICE[code] ?? cause.message}`, { cause })
}

/** Below 500, what may pass by itself: not ready yet, time-outs, locks, too many requests. 420, 430 and 449 are not registered, but in use. */
const WORTH_ANOTHER_TRY = new Set([202, 408, 420, 421, 423, 425, 429, 430, 449])
/** Of the server's own errors, those that no later request can change: it does not know GET, this version of HTTP or an extension. */
const FINAL = new Set([501, 505, 510])

/** What an answer that is no file means for the task. A delay that the server names is waited for, whatever the status, and costs nothing. */
export function statusFailure(status: number, headers: Record<string, string>, url: URL, from = 'HTTP'): Error {
  const code = `${status === 407 ? 'PROXY' : from}_${status}`
  const message = `${shown(url)} answered ${status}`
  const delayMs = requestedDelay(status, headers, Date.now())
  if (delayMs !== undefined) return new RetryAfterError(code, message, delayMs)
  const mayPass = WORTH_ANOTHER_TRY.has(status) || (status >= 500 && !FINAL.has(status))
  return new (mayPass ? FleetError : UnrecoverableError)(code, message)
}
