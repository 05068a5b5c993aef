import type { WorkerRow } from '@taskfleet/protocol'
import { useMemo, useRef } from 'react'
import type { ViewState } from './fleet-provider.tsx'
import { WORKERS } from './queries.ts'
import { useLiveQuery } from './use-live-query.ts'
import { useServerTime } from './use-server-time.ts'

/** The live workers by `_id`, which is the value of `task.worker`. */
export function useWorkers(): ReadonlyMap<string, WorkerRow> {
  const { rows } = useLiveQuery(WORKERS)
  return useMemo(() => new Map(rows.map((worker) => [worker._id, worker])), [rows])
}

/**
 * The server's time in milliseconds for as long as a view is current. Then it stands still: that this page is cut off makes no host
 * silent.
 */
export function useKnownTime({ live, loaded }: Pick<ViewState, 'live' | 'loaded'>): number {
  const now = useServerTime()
  const known = useRef(now)
  if (live || !loaded) known.current = now
  return known.current
}
