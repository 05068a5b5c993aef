import { useSyncExternalStore } from 'react'
import { useShared } from './fleet-provider.tsx'
import type { ConnectionView } from './source.ts'

/** The state of the page's connection to its gateway. */
export function useConnection(): ConnectionView {
  const { connection } = useShared()
  return useSyncExternalStore(connection.subscribe, connection.get, connection.get)
}
