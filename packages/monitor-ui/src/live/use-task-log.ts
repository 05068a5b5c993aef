import type { LogLine, StoredLogLine, TaskRow } from '@taskfleet/protocol'
import { useConnection, useFleetClient } from '@taskfleet/react'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { joinLog, knownLines, mergeNewest } from '../view/join-log.ts'
import { wireError } from './wire-error.ts'

const FIRST = 200
/** What one request for earlier lines loads. */
const PAGE = 1_000
/** Older lines are not loaded. */
const MOST = 20_000
/** The socket's lines are kept in a window of 1,000. Before it moves on, they join the others. */
const ABSORB = 500
/** Workers store their log lines this often, so the last lines of an ended task may arrive late. */
const SETTLE_MS = 2_500
const AGAIN_MS = 5_000

interface StoredLog {
  lines: readonly StoredLogLine[]
  /** Whether there may be older ones. */
  older: boolean
}

export interface TaskLogView extends StoredLog {
  /** Earlier lines are being loaded. */
  busy: boolean
  /** Why stored lines could not be loaded. */
  problem: string | undefined
  /**
   * Loads earlier lines: one page, or until `enough` is true. At most 20,000 lines are kept.
   * @returns all that are known then
   */
  earlier: (enough?: (lines: readonly StoredLogLine[]) => boolean) => Promise<StoredLog>
}

/**
 * A task's log: the stored lines of all its attempts, and what its socket sends.
 *
 * @param live the lines from its socket since the page was opened
 * @param heard whether its socket is open. If not, the stored lines are polled while it runs
 */
export function useTaskLog(task: TaskRow, live: readonly LogLine[], heard: boolean): TaskLogView {
  const client = useFleetClient()
  const connected = useConnection().state === 'live'
  const held = useRef<StoredLog>({ lines: [], older: false })
  const [log, show] = useState(held.current)
  const [busy, setBusy] = useState(false)
  const loading = useRef(false)
  const [problem, setProblem] = useState<string>()
  const { _id: id, status, attempt } = task
  const unheard = status === 'running' && !heard
  const put = useCallback((next: StoredLog) => {
    held.current = next
    show(next)
  }, [])

  // On purpose: another status or attempt means that there are new lines
  useEffect(() => {
    if (!connected) return
    let mine = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const ask = async (): Promise<void> => {
      try {
        const newest = await client.tasks.log({ id, limit: FIRST })
        if (!mine) return
        const before = held.current
        const { lines, gap } = mergeNewest(before.lines, newest)
        put({ lines, older: gap || (before.lines.length === 0 ? newest.length >= FIRST : before.older) })
        setProblem(undefined)
      } catch (thrown) {
        if (mine) setProblem(wireError(thrown).message)
      }
    }
    const round = () => {
      void ask().finally(() => {
        if (mine && unheard) timer = setTimeout(round, AGAIN_MS)
      })
    }
    round()
    if (!unheard && status !== 'running' && attempt > 0) timer = setTimeout(() => void ask(), SETTLE_MS)
    return () => {
      mine = false
      clearTimeout(timer)
    }
  }, [client, connected, id, status, attempt, unheard, put])

  const known = useMemo(() => knownLines(log.lines), [log.lines])
  const lines = useMemo(() => joinLog(log.lines, live, attempt, known), [log.lines, live, attempt, known])
  useEffect(() => {
    if (lines.length - log.lines.length >= ABSORB) put({ ...held.current, lines })
  }, [lines, log.lines, put])

  const earlier = async (enough: (lines: readonly StoredLogLine[]) => boolean = () => true): Promise<StoredLog> => {
    if (loading.current) return held.current
    loading.current = true
    setBusy(true)
    try {
      for (;;) {
        const [first] = held.current.lines
        if (first === undefined || !held.current.older || held.current.lines.length >= MOST) break
        const { attempt: n, seq } = first
        const before = await client.tasks.log({ id, before: { attempt: n, seq }, limit: PAGE })
        // Meanwhile the newest lines may have been read again. After a gap they are others, and these have no place before them.
        const now = held.current.lines[0]
        if (now?.attempt !== n || now.seq !== seq) continue
        put({ lines: [...before, ...held.current.lines], older: before.length >= PAGE })
        if (enough(held.current.lines)) break
      }
      setProblem(undefined)
    } catch (thrown) {
      setProblem(wireError(thrown).message)
    } finally {
      loading.current = false
      setBusy(false)
    }
    return held.current
  }

  return { lines, older: log.older && lines.length < MOST, busy, problem, earlier }
}
