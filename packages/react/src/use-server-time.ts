import { useSyncExternalStore } from 'react'
import { useShared } from './fleet-provider.tsx'

/**
 * The server's time in milliseconds, whatever time it is on this computer; looked at once a second.
 *
 * @param read what is wanted of it: the component renders anew only when this has changed, which must be no new object each time
 */
export function useServerTime(): number
export function useServerTime<T>(read: (now: number) => T): T
export function useServerTime(read: (now: number) => unknown = (now) => now): unknown {
  const { time } = useShared()
  const get = (): unknown => read(time.now)
  return useSyncExternalStore(time.subscribe, get, get)
}
