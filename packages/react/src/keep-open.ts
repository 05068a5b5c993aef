import { type FleetApi, mayPass, retryDelay } from '@taskfleet/client'
import { FleetError } from '@taskfleet/protocol'

interface Ways<Handle> {
  /** @param lost called when it was open and has been refused since, which closes it */
  open(lost: (error: Error) => void): Promise<Handle>
  close(handle: Handle): void
  opened?(handle: Handle): void
  /** Why it isn't open; temporary errors are retried. */
  failed(error: FleetError): void
  /** The connection is down: the shown state may be out of date. */
  interrupted?(): void
}

/** An open resource. */
export interface KeptOpen {
  /** True also while it is being opened. */
  close(): void
  /** Tries at once if it is not open. */
  tryAgain(): void
}

/**
 * Opens something on a fleet, and retries until it is open: temporary errors at growing intervals, and every error with
 * the next connection.
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
  new FleetError(error.code, `This key is no longer allowed to see this: ${error.message}`, { cause: error })
