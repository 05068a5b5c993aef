import { type LiveQueryView, useFleetClient, useLiveQuery, useServerTime, useStats } from '@taskfleet/react'
import { useKnownTime, useWorkers, WORKERS } from '@taskfleet/react/internal'
import { useMemo, useRef } from 'react'
import { DOWNLOAD, servesDownloads } from '../view/download-task.ts'

export { useOnScreen, useWorkers } from '@taskfleet/react/internal'

/** Whether the current key has a scope. It decides only what the page offers; the gateway checks every request. */
export function useCan(scope: 'write' | 'control' | 'admin'): boolean {
  const client = useFleetClient()
  // The scopes arrive just after the connection. Each tick looks at them again.
  return useServerTime(() => {
    const scopes = client.welcome?.scopes ?? []
    return scopes.includes(scope) || scopes.includes('admin')
  })
}

/** Whether the current key is limited to some queues or names. Then it may not use things that belong to none. */
export function useLimited(): boolean {
  const client = useFleetClient()
  return useServerTime(() => client.welcome?.queues !== undefined || client.welcome?.names !== undefined)
}

const MINUTE_MS = 60_000

/** The server's current minute in milliseconds, for values that must not change all the time. */
export function useMinute(): number {
  return useServerTime((now) => Math.floor(now / MINUTE_MS) * MINUTE_MS)
}

/** Keeps the last view while a new view with the same meaning is loading. */
export function useKept<V extends Pick<LiveQueryView, 'loaded' | 'error'>>(meaning: string, view: V): V {
  const kept = useRef({ meaning, view })
  if (view.loaded || view.error !== undefined || kept.current.meaning !== meaning) kept.current = { meaning, view }
  return kept.current.view
}

/** The server's time for as long as the workers are known as they are now: see `useKnownTime`. */
export function useWorkersTime(): number {
  return useKnownTime(useLiveQuery(WORKERS))
}

/** The names of the tasks that live workers run, for suggestions. */
export function useTaskNames(): string[] {
  const workers = useWorkers()
  return useMemo(() => {
    const tasks = [...workers.values()].flatMap((worker) => worker.tasks)
    return [...new Set(tasks.map((task) => task.replace(/@\d+$/, '')))].sort()
  }, [workers])
}

/** Whether a worker serves downloads, or the fleet has some. */
export function useHasDownloads(): boolean {
  const { rows } = useLiveQuery(WORKERS)
  const { stats } = useStats()
  return rows.some(servesDownloads) || Object.hasOwn(stats?.byName ?? {}, DOWNLOAD)
}
