import type { CollectionName, QueryRequest, WorkerRow } from '@taskfleet/protocol'
import { createContext, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import {
  type ConnectionView,
  type FleetStore,
  queryKey,
  type RowsView,
  type StatsView,
  type TaskDetail,
} from './fleet-store.ts'
import { HeldRows, type HeldView } from './held-rows.ts'
import { WORKERS } from './queries.ts'

export const FleetContext = createContext<FleetStore | null>(null)

export function useFleet(): FleetStore {
  const store = useContext(FleetContext)
  if (store === null) throw new Error('useFleet needs a <FleetContext value={store}> around it')
  return store
}

export function useConnection(): ConnectionView {
  const { connection } = useFleet()
  return useSyncExternalStore(connection.subscribe, connection.get)
}

/** The live rows of a query, which is subscribed while the component is mounted. */
export function useRows<N extends CollectionName = 'tasks'>(query: QueryRequest & { collection?: N }): RowsView<N> {
  const store = useFleet()
  const key = queryKey(query)
  // On purpose: the key says all that the query says
  const rows = useMemo(() => store.rows(query), [store, key])
  return useSyncExternalStore(rows.subscribe, rows.get)
}

/**
 * Counts, rates and latencies of the tasks that fit a filter, of all without one. However many components ask for the
 * same, it is subscribed once.
 */
export function useStats(filter: Record<string, unknown> = EVERYTHING): StatsView {
  const store = useFleet()
  const key = queryKey({ filter })
  // On purpose: the key says all that the filter says
  const stats = useMemo(() => store.stats(filter), [store, key])
  return useSyncExternalStore(stats.subscribe, stats.get)
}

const EVERYTHING: Record<string, unknown> = {}

/** What is known of a task; its own socket is open while `visible`. */
export function useTaskDetail(id: string, visible: boolean): TaskDetail {
  const store = useFleet()
  const task = useMemo(() => store.task(id), [store, id])
  useEffect(() => (visible ? store.watch(id) : undefined), [store, id, visible])
  return useSyncExternalStore(task.subscribe, task.get)
}

/** Whether the key in use may do it. What it says decides only what is offered: the gateway looks for itself. */
export function useCan(scope: 'write' | 'control' | 'admin'): boolean {
  const { api, clock } = useFleet()
  return useSyncExternalStore(clock.subscribe, () => {
    // It comes just after the connection, so it is looked at again with every tick.
    const scopes = api.welcome?.scopes ?? []
    return scopes.includes(scope) || scopes.includes('admin')
  })
}

/** Whether the key in use is for some queues or names only, and so for nothing that is of none. */
export function useLimited(): boolean {
  const { api, clock } = useFleet()
  return useSyncExternalStore(clock.subscribe, () => {
    const { queues, names } = api.welcome ?? {}
    return queues !== undefined || names !== undefined
  })
}

/** The server's time in milliseconds, renewed every second. */
export function useNow(): number {
  const { clock } = useFleet()
  return useSyncExternalStore(clock.subscribe, clock.get)
}

const MINUTE_MS = 60_000

/** The minute in which the server is, in milliseconds: for what must not change all the time. */
export function useMinute(): number {
  const { clock } = useFleet()
  return useSyncExternalStore(clock.subscribe, () => Math.floor(clock.get() / MINUTE_MS) * MINUTE_MS)
}

/** A view that stays as it was while another one that means the same is on its way. */
export function useKept<V extends { loaded: boolean; error: unknown }>(meaning: string, view: V): V {
  const kept = useRef({ meaning, view })
  if (view.loaded || view.error !== undefined || kept.current.meaning !== meaning) kept.current = { meaning, view }
  return kept.current.view
}

/** The live workers by their `_id`, which is what `task.worker` holds. */
export function useWorkers(): ReadonlyMap<string, WorkerRow> {
  const { rows } = useRows(WORKERS)
  return useMemo(() => new Map(rows.map((worker) => [worker._id, worker])), [rows])
}

/** Rows that keep their places while `held`; `apply` shows the live ones. */
export function useHeldRows<R extends { _id: string }>(
  key: string,
  live: readonly R[],
  held: boolean,
): HeldView<R> & { apply: () => void } {
  const holder = useRef<HeldRows<R> | null>(null)
  holder.current ??= new HeldRows<R>()
  const rows = holder.current
  const [applied, setApplied] = useState(0)
  // On purpose: applying must look again
  const view = useMemo(() => rows.view(key, live, held), [rows, key, live, held, applied])
  return {
    ...view,
    apply: () => {
      rows.apply()
      setApplied((count) => count + 1)
    },
  }
}

/** Whether an element is on the screen. */
export function useOnScreen(): [ref: (element: Element | null) => void, visible: boolean] {
  const [element, ref] = useState<Element | null>(null)
  const [visible, setVisible] = useState(false)
  useEffect(() => {
    if (element === null) return
    if (typeof IntersectionObserver === 'undefined') {
      setVisible(true)
      return
    }
    const observer = new IntersectionObserver((entries) => setVisible(entries.at(-1)?.isIntersecting ?? false))
    observer.observe(element)
    return () => observer.disconnect()
  }, [element])
  return [ref, visible]
}
