import { type FleetApi, mayPass } from '@taskfleet/core/client'

const RETRY_MS = 2_000

interface Ways<Handle> {
  /** @param lost to be called when it was open and is refused since, which has closed it */
  open(lost: (error: Error) => void): Promise<Handle>
  close(handle: Handle): void
  opened?(handle: Handle): void
  /** Why it isn't open; it is tried again where that can help. */
  failed(error: Error): void
}

/**
 * Opens something on a fleet and keeps at it until it is open: what passes by itself is tried again a little later, and
 * everything with the next connection.
 *
 * @returns how to close it, also while it is being opened
 */
export function keepOpen<Handle>(client: FleetApi, ways: Ways<Handle>): () => void {
  let handle: Handle | undefined
  let opening = false
  let closed = false
  let retry: ReturnType<typeof setTimeout> | undefined

  const tryOnce = async (): Promise<void> => {
    if (closed || opening || handle !== undefined) return
    clearTimeout(retry)
    opening = true
    try {
      const opened = await ways.open((error) => {
        handle = undefined
        if (!closed) ways.failed(error)
      })
      if (closed) {
        ways.close(opened)
        return
      }
      handle = opened
      ways.opened?.(opened)
    } catch (error) {
      if (closed) return
      const failure = error instanceof Error ? error : new Error(String(error))
      ways.failed(failure)
      if (mayPass(failure)) retry = setTimeout(() => void tryOnce(), RETRY_MS)
    } finally {
      opening = false
    }
  }

  void tryOnce()
  const forget = client.onState((state) => {
    if (state === 'live') void tryOnce()
  })
  return () => {
    closed = true
    clearTimeout(retry)
    forget()
    if (handle !== undefined) ways.close(handle)
  }
}
