import { useSyncExternalStore } from 'react'
import { useShared } from './fleet-provider.tsx'

/**
 * The server's time in milliseconds, independent of this computer's clock. It is updated once a second.
 *
 * @param read picks what the component needs. The component renders again only when the result changes, so it must not be
 *   a new object each time.
 */
export function useServerTime(): number
export function useServerTime<T>(read: (now: number) => T): T
export function useServerTime(read: (now: number) => unknown = (now) => now): unknown {
  const { time } = useShared()
  const get = (): unknown => read(time.get())
  return useSyncExternalStore(time.subscribe, get, get)
}
