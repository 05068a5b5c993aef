import type { WorkerRow } from '@taskfleet/protocol'
import { type LiveQueryView, useFleetClient, useLiveQuery, useServerTime } from '@taskfleet/react'
import { useEffect, useMemo, useRef, useState } from 'react'
import { WORKERS } from './queries.ts'

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

/** The live workers by `_id`, which is the value of `task.worker`. */
export function useWorkers(): ReadonlyMap<string, WorkerRow> {
  const { rows } = useLiveQuery(WORKERS)
  return useMemo(() => new Map(rows.map((worker) => [worker._id, worker])), [rows])
}

/**
 * The server's time in milliseconds for as long as the workers are known as they are now. Then it stands still: that this page is cut off
 * makes no host silent.
 */
export function useWorkersTime(): number {
  const { live, loaded } = useLiveQuery(WORKERS)
  const now = useServerTime()
  const known = useRef(now)
  if (live || !loaded) known.current = now
  return known.current
}

/** The names of the tasks that live workers run, for suggestions. */
export function useTaskNames(): string[] {
  const workers = useWorkers()
  return useMemo(() => {
    const tasks = [...workers.values()].flatMap((worker) => worker.tasks)
    return [...new Set(tasks.map((task) => task.replace(/@\d+$/, '')))].sort()
  }, [workers])
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
