import { useServerTime } from '@taskfleet/react'
import { useRef } from 'react'

/** The server's time, which stands still while a view is not live: a host is not silent only because this page hears nothing. */
export function useHeardTime({ live, loaded }: { live: boolean; loaded: boolean }): number {
  const now = useServerTime()
  const heard = useRef(now)
  if (live || !loaded) heard.current = now
  return heard.current
}
