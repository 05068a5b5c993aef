import { type FleetApi, mayPass, retryDelay } from '@taskfleet/client'
import { FleetError } from '@taskfleet/protocol'

interface Ways<Handle> {
  /** @param lost to be called when it was open and is refused since, which has closed it */
  open(lost: (error: Error) => void): Promise<Handle>
  close(handle: Handle): void
  opened?(handle: Handle): void
  /** Why it isn't open; it is tried again where that can help. */
  failed(error: FleetError): void
  /** The connection is gone for now: what is shown may be behind. */
  interrupted?(): void
}

/** What is kept open. */
export interface KeptOpen {
  /** Also while it is being opened. */
  close(): void
  /** Tries at once where it is not open. */
  tryAgain(): void
}

/**
 * Opens something on a fleet and keeps at it until it is open: what passes by itself is tried again, later and later, and
 * everything with the next connection.
 */
export function keepOpen<Handle>(client: FleetApi, ways: Ways<Handle>): KeptOpen {
  let handle: Handle | undefined
  let opening = false
  let closed = false
  let failures = 0
  let retry: ReturnType<typeof setTimeout> | undefined

  const tryOnce = async (): Promise<void> => {
    if (closed || opening || handle !== undefined) return
    clearTimeout(retry)
    opening = true
    try {
      const opened = await ways.open((error) => {
        handle = undefined
        if (!closed) ways.failed(rightLost(asFleetError(error)))
      })
      if (closed) {
        ways.close(opened)
        return
      }
      handle = opened
      failures = 0
      ways.opened?.(opened)
    } catch (thrown) {
      if (closed) return
      const failure = asFleetError(thrown)
      failures += 1
      ways.failed(failure)
      if (mayPass(failure)) retry = setTimeout(() => void tryOnce(), retryDelay(failures))
    } finally {
      opening = false
    }
  }

  void tryOnce()
  const forget = client.onState((state) => {
    if (state === 'live') void tryOnce()
    else ways.interrupted?.()
  })
  return {
    close: () => {
      closed = true
      clearTimeout(retry)
      forget()
      if (handle !== undefined) ways.close(handle)
    },
    tryAgain: () => void tryOnce(),
  }
}

/** Anything thrown, with the `code` that it may carry. */
export function asFleetError(thrown: unknown): FleetError {
  if (thrown instanceof FleetError) return thrown
  const { code, message = String(thrown) } = Object(thrown) as { code?: unknown; message?: string }
  return new FleetError(typeof code === 'string' ? code : 'UNKNOWN', message, { cause: thrown })
}

const rightLost = (error: FleetError): FleetError =>
  new FleetError(error.code, `This key may not see this any more: ${error.message}`, { cause: error })
