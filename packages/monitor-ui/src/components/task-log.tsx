import { hasEnded, type LogLine, type StoredLogLine, type TaskRow } from '@taskfleet/protocol'
import { useConnection, useFleetClient } from '@taskfleet/react'
import { useEffect, useMemo, useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import { joinLog, mergeNewest } from '../view/join-log.ts'
import { LogTail } from './log-tail.tsx'

const PAGE = 200
/** Browsers get slow with more lines. */
const MOST = 5_000
/** Workers store their log lines this often, so the last lines of an ended task may arrive late. */
const SETTLE_MS = 2_500
const AGAIN_MS = 5_000

interface Props {
  task: TaskRow
  /** The lines from its socket since the page was opened. */
  live: readonly LogLine[]
  /** Whether its socket is open. If not, the stored lines are polled while it runs. */
  heard: boolean
}

/** A task's log: the stored lines of all its attempts, and the live tail while it runs. */
export function TaskLog({ task, live, heard }: Props) {
  const { lines, older, busy, problem, earlier } = useStoredLog(task, heard)
  const shown = useMemo(() => joinLog(lines, live, task.attempt), [lines, live, task.attempt])
  const ended = hasEnded(task.status)
  return (
    <LogTail
      lines={shown}
      compact={ended && shown.length === 0}
      earlier={older && shown.length < MOST ? { load: earlier, busy } : undefined}
      problem={problem}
      empty={
        task.status === 'running'
          ? 'No lines yet.'
          : ended
            ? 'It has logged nothing.'
            : 'Lines appear here once it runs.'
      }
    />
  )
}

interface StoredLog {
  lines: readonly StoredLogLine[]
  /** Whether there may be older ones. */
  older: boolean
}

function useStoredLog(task: TaskRow, heard: boolean) {
  const client = useFleetClient()
  const live = useConnection().state === 'live'
  const [log, setLog] = useState<StoredLog>({ lines: [], older: false })
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string>()
  const { _id: id, status, attempt } = task
  const unheard = status === 'running' && !heard

  // On purpose: another status or attempt means that there are new lines
  useEffect(() => {
    if (!live) return
    let mine = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const ask = async (): Promise<void> => {
      try {
        const newest = await client.tasks.log({ id, limit: PAGE })
        if (!mine) return
        setLog((before) => {
          const { lines, gap } = mergeNewest(before.lines, newest)
          return { lines, older: gap || (before.lines.length === 0 ? newest.length >= PAGE : before.older) }
        })
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
  }, [client, live, id, status, attempt, unheard])

  const earlier = async () => {
    const [first] = log.lines
    if (first === undefined || busy) return
    setBusy(true)
    try {
      const { attempt: n, seq } = first
      const before = await client.tasks.log({ id, before: { attempt: n, seq }, limit: PAGE })
      setLog(({ lines }) => ({ lines: [...before, ...lines], older: before.length >= PAGE }))
      setProblem(undefined)
    } catch (thrown) {
      setProblem(wireError(thrown).message)
    } finally {
      setBusy(false)
    }
  }

  return { ...log, busy, problem, earlier: () => void earlier() }
}
