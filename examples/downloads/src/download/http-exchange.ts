import { asError } from '@taskfleet/core'
import { AttemptAborted } from '@taskfleet/protocol'
import { Client, type Dispatcher } from 'undici'
import { type GuardOptions, guardedConnector } from './address-guard.ts'
import { BodyFlow, type Sink } from './body-flow.ts'
import { networkFailure, stalled } from './failures.ts'
import { HeldSocket, type Landing } from './held-socket.ts'

export interface ExchangeOptions extends GuardOptions {
  connectTimeoutMs: number
  stallMs: number
  ca?: string | undefined
}

/** An answer whose body has not been read. */
export interface Reply {
  status: number
  /** Lower-case names; of a header sent twice, all values with commas between. */
  headers: Record<string, string>
  url: URL
  /** Resolves at the body's proper end; rejects with what the failure means for the task. Call it once. */
  pipe(sink: Sink): Promise<void>
  /** Ends the connection; `pipe` rejects with `reason`. */
  stop(reason: Error): void
}

/**
 * One GET on a connection of its own. A body with a length is received right in the sink's memory, and the parser sees no more
 * than its first bytes. Other bodies go from the parser into the sink, without a stream or a promise for each chunk: at a
 * gigabyte a second those are what costs.
 */
export function exchange(
  url: URL,
  headers: Record<string, string>,
  options: ExchangeOptions,
  signal: AbortSignal,
): Promise<Reply> {
  const socket = new HeldSocket()
  const connect = guardedConnector(options, socket.onread)
  const client = new Client(url.origin, {
    connect: (target, callback) =>
      connect(target, (...[error, connected]) => {
        if (error !== null) return callback(error, null)
        socket.attach(connected)
        callback(null, connected)
      }),
    headersTimeout: options.stallMs,
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
  const flow = new BodyFlow({ stallMs: options.stallMs, onStall: () => stop(stalled(url)) })
  const onAbort = () => stop(abortReason(signal))
  const finish = async (thrown?: Error) => {
    if (finished) return
    finished = true
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
  const landing = (space: () => Uint8Array): Landing => ({
    space: () => (left > 0 ? space() : undefined),
    filled: (count) => receive(count, (wanted) => flow.filled(wanted)),
    write: (chunk) => receive(chunk.length, (wanted) => flow.take(chunk.subarray(0, wanted))),
  })

  if (signal.aborted) return Promise.reject(abortReason(signal))
  signal.addEventListener('abort', onAbort, { once: true })
  client.dispatch(
    { method: 'GET', path: `${url.pathname}${url.search}`, headers },
    {
      onRequestStart: (started) => {
        controller = started
      },
      onResponseStart: (_started, status, received) => {
        if (status < 200) return
        answered = true
        flow.begin(socket)
        const headers = joined(received)
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
  headers['transfer-encoding'] === undefined && /^\d+$/.test(headers['content-length'] ?? '')
    ? Number(headers['content-length'])
    : Number.POSITIVE_INFINITY

function joined(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value ?? ''].flat().join(', ')]))
}

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
