import { AttemptAborted } from '@taskfleet/core'
import { Client, type Dispatcher } from 'undici'
import { type GuardOptions, guardedConnector } from './address-guard.ts'
import { networkFailure } from './failures.ts'

export interface ExchangeOptions extends GuardOptions {
  connectTimeoutMs: number
  stallMs: number
  ca?: string | undefined
}

/** Where a body goes: `false` asks for a pause, which `resume` ends. */
interface Sink {
  write(chunk: Buffer): boolean
  onDrain: () => void
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
 * One GET on a connection of its own. Chunks go from the parser straight into the sink, without a stream or a promise for
 * each: at a gigabyte a second those are what costs.
 */
export function exchange(
  url: URL,
  headers: Record<string, string>,
  options: ExchangeOptions,
  signal: AbortSignal,
): Promise<Reply> {
  const client = new Client(url.origin, {
    connect: guardedConnector(options),
    headersTimeout: options.stallMs,
    bodyTimeout: options.stallMs,
  })
  let controller: Dispatcher.DispatchController | undefined
  let sink: Sink | undefined
  const body = deferred<void>()
  const head = deferred<Reply>()
  let stopped: Error | undefined
  let answered = false

  const stop = (reason: Error) => {
    stopped ??= reason
    controller?.abort(reason)
    void client.destroy(reason)
  }
  const onAbort = () => stop(abortReason(signal))
  const finish = (error?: Error) => {
    signal.removeEventListener('abort', onAbort)
    void client.destroy()
    if (!error) return body.resolve()
    const failure = stopped ?? networkFailure(error, url, answered)
    head.reject(failure)
    body.reject(failure)
  }

  if (signal.aborted) return Promise.reject(abortReason(signal))
  signal.addEventListener('abort', onAbort, { once: true })
  client.dispatch(
    { method: 'GET', path: `${url.pathname}${url.search}`, headers },
    {
      onRequestStart: (started) => {
        controller = started
      },
      onResponseStart: (started, status, received) => {
        if (status < 200) return
        answered = true
        started.pause()
        const pipe = (to: Sink) => {
          sink = to
          sink.onDrain = () => started.resume()
          started.resume()
          return body.promise
        }
        head.resolve({ status, headers: joined(received), url, pipe, stop })
      },
      onResponseData: (started, chunk) => {
        // What a sink throws ends the exchange, and comes back through onResponseError.
        if (!sink?.write(chunk)) started.pause()
      },
      onResponseEnd: () => finish(),
      onResponseError: (_started, error) => finish(error),
    },
  )
  return head.promise
}

const abortReason = (signal: AbortSignal): Error =>
  signal.reason instanceof Error
    ? signal.reason
    : new AttemptAborted('CANCELLED', 'the download was aborted', { cause: signal.reason })

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
