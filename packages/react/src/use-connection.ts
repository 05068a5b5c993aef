import { useSyncExternalStore } from 'react'
import type { ConnectionView } from './connection-watch.ts'
import { useShared } from './fleet-provider.tsx'

/** Whether the page and its gateway talk to each other, and since when. */
export function useConnection(): ConnectionView {
  const { connection } = useShared()
  return useSyncExternalStore(connection.subscribe, connection.get, connection.get)
}
