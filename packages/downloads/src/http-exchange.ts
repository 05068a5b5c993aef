import { asError } from '@taskfleet/core'
import { AttemptAborted } from '@taskfleet/protocol'
import { type buildConnector, Client, type Dispatcher } from 'undici'
import { type GuardOptions, guardedConnector, whyRefused } from './address-guard.ts'
import { BodyFlow, type Sink } from './body-flow.ts'
import { networkFailure, stalled } from './failures.ts'
import { HeldSocket, type Landing } from './held-socket.ts'
import { readCount, readHeaders } from './http-headers.ts'
import type { OriginLimits } from './origin-limits.ts'
import { type HttpProxy, proxyAuthorization } from './proxies.ts'
import { tunnelConnector } from './proxy-tunnel.ts'

/** As much as browsers accept. */
const MOST_HEADER_BYTES = 2 ** 18

export interface ExchangeOptions extends GuardOptions {
  connectTimeoutMs: number
  stallMs: number
  ca?: string | undefined
  limits?: OriginLimits | undefined
  /** @throws {UnrecoverableError} `BAD_PROXY` */
  proxyOf?: ((url: URL) => HttpProxy | undefined) | undefined
}

/** An answer whose body has not been read. */
export interface Reply {
  status: number
  /** See `readHeaders`. */
  headers: Record<string, string>
  url: URL
  /** Resolves at the body's proper end; rejects with what the failure means for the task. Call it once. */
  pipe(sink: Sink): Promise<void>
  /** Ends the connection; `pipe` rejects with `reason`. */
  stop(reason: Error): void
}

/** Where a request is sent, and what it has to say there. */
interface Route {
  origin: string
  path: string
  headers: Record<string, string>
  connect: buildConnector.connector
}

/** A proxy gets requests to http: URLs as they are, and a connection through it to https: ones (RFC 9110, 7.3.2 and 9.3.6). */
function routeTo(url: URL, options: ExchangeOptions, socket: HeldSocket, signal: AbortSignal): Route {
  const path = `${url.pathname}${url.search}`
  const proxy = options.proxyOf?.(url)
  if (proxy === undefined)
    return { origin: url.origin, path, headers: {}, connect: guardedConnector(options, socket.onread) }
  const refusal = whyRefused(url, options)
  if (refusal) throw refusal
  if (url.protocol === 'https:')
    return {
      origin: url.origin,
      path,
      headers: {},
      connect: tunnelConnector(proxy, url, options, socket.onread, signal),
    }
  return {
    origin: proxy.url.origin,
    path: `${url.origin}${path}`,
    headers: { host: url.host, ...proxyAuthorization(proxy.url) },
    connect: guardedConnector({ ...options, unguarded: !proxy.fromTask }, socket.onread),
  }
}

/**
 * One GET on a connection of its own. A body with a length is received right in the sink's memory, and the parser sees no more
 * than its first bytes. Other bodies go from the parser into the sink, without a stream or a promise for each chunk: at a
 * gigabyte a second those are what costs.
 */
export async function exchange(
  url: URL,
  headers: Record<string, string>,
  options: ExchangeOptions,
  signal: AbortSignal,
): Promise<Reply> {
  const socket = new HeldSocket()
  if (signal.aborted) throw abortReason(signal)
  const route = routeTo(url, options, socket, signal)
  const leave = options.limits?.enter(url)
  const client = new Client(route.origin, {
    connect: (target, callback) =>
      route.connect(target, (...[error, connected]) => {
        if (error !== null) return callback(error, null)
        socket.attach(connected)
        callback(null, connected)
      }),
    headersTimeout: options.stallMs,
    maxHeaderSize: MOST_HEADER_BYTES,
    // The flow watches over that: undici does not know when it is kept waiting.
    bodyTimeout: 0,
  })
  let controller: Dispatcher.DispatchController | undefined
  const body = deferred<void>()
  const head = deferred<Reply>()
  let stopped: Error | undefined
  let answered = false
  let finished = false
  /** Body bytes still to come; infinite where only the parser knows the end. */
  let left = Number.POSITIVE_INFINITY

  const stop = (reason: Error) => {
    stopped ??= reason
    controller?.abort(reason)
    void client.destroy(reason)
  }
  const flow = new BodyFlow({
    stallMs: options.stallMs,
    onStall: () => stop(stalled(url)),
    pace: options.limits?.pace(url),
  })
  const onAbort = () => stop(abortReason(signal))
  const finish = async (thrown?: Error) => {
    if (finished) return
    finished = true
    leave?.()
    signal.removeEventListener('abort', onAbort)
    flow.end()
    void client.destroy()
    // Without a length, a reset looks like an end.
    const error = thrown ?? (await socket.failed())
    if (!error) return body.resolve()
    const failure = stopped ?? networkFailure(error, url, answered)
    head.reject(failure)
    body.reject(failure)
  }

  // Nothing may be thrown into the socket. What comes behind the body is not ours.
  const receive = (count: number, into: (wanted: number) => boolean): boolean => {
    const wanted = Math.min(count, left)
    left -= wanted
    try {
      const flowing = into(wanted)
      if (left > 0) return flowing
      void finish()
    } catch (error) {
      stop(asError(error))
    }
    return false
  }
  const landing = (space: () => Uint8Array | undefined): Landing => ({
    space: () => (left > 0 ? space() : undefined),
    filled: (count) => receive(count, (wanted) => flow.filled(wanted)),
    write: (chunk) => receive(chunk.length, (wanted) => flow.take(chunk.subarray(0, wanted))),
  })

  signal.addEventListener('abort', onAbort, { once: true })
  client.dispatch(
    { method: 'GET', path: route.path, headers: { ...headers, ...route.headers } },
    {
      onRequestStart: (started) => {
        controller = started
      },
      onResponseStart: (_started, status, received) => {
        if (status < 200) return
        answered = true
        flow.begin(socket)
        const headers = readHeaders(received)
        left = bodyLength(headers)
        const pipe = async (sink: Sink) => {
          try {
            flow.to(sink)
            if (sink.direct && Number.isFinite(left)) socket.land(landing(sink.direct.space))
          } catch (error) {
            stop(asError(error))
            throw error
          }
          return body.promise
        }
        head.resolve({ status, headers, url, pipe, stop })
      },
      // What a sink throws ends the exchange, and comes back through onResponseError.
      onResponseData: (_started, chunk) => {
        left -= chunk.length
        flow.take(chunk)
      },
      onResponseEnd: () => void finish(),
      onResponseError: (_started, error) => void finish(error),
    },
  )
  return head.promise
}

const abortReason = (signal: AbortSignal): Error =>
  signal.reason instanceof Error
    ? signal.reason
    : new AttemptAborted('CANCELLED', 'the download was aborted', { cause: signal.reason })

const bodyLength = (headers: Record<string, string>): number =>
  (headers['transfer-encoding'] === undefined ? readCount(headers['content-length']) : undefined) ??
  Number.POSITIVE_INFINITY

function deferred<T>() {
  let resolve: (value: T) => void = () => {}
  let reject: (reason: Error) => void = () => {}
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  // A body nobody pipes may still fail.
  promise.catch(() => undefined)
  return { promise, resolve, reject }
}
