import { hasEnded, type LogLine, type TaskRow } from '@taskfleet/protocol'
import { useEffect, useRef } from 'react'
import { useTaskLog } from '../live/use-task-log.ts'
import { isBefore, lineName, logText, parseLineName } from '../view/log-lines.ts'
import { LogView } from './log-view.tsx'

interface Props {
  task: TaskRow
  /** The lines from its socket since the page was opened. */
  live: readonly LogLine[]
  /** Whether its socket is open. If not, the stored lines are polled while it runs. */
  heard: boolean
  /** The line that the address names, such as `2.100`. */
  line?: string | undefined
}

/** A task's log: the stored lines of all its attempts, and the live tail while it runs. */
export function TaskLog({ task, live, heard, line }: Props) {
  const { lines, older, busy, problem, earlier } = useTaskLog(task, live, heard)
  const wanted = line === undefined ? undefined : parseLineName(line, task.attempt)
  const marked = wanted && lineName(wanted)
  const [first] = lines
  const missing = wanted !== undefined && older && first !== undefined && isBefore(wanted, first)
  const asked = useRef<string>(undefined)
  // Once for each line, also if it can't be loaded
  useEffect(() => {
    if (!missing || wanted === undefined || asked.current === marked) return
    asked.current = marked
    void earlier((known) => known[0] === undefined || !isBefore(wanted, known[0]))
  })
  const ended = hasEnded(task.status)
  return (
    <LogView
      task={task._id}
      lines={lines}
      marked={marked}
      ended={ended}
      earlier={older ? { one: () => void earlier(), all: () => void earlier(() => false), busy } : undefined}
      text={async () => {
        const all = older ? await earlier(() => false) : { lines, older: false }
        return logText(all.lines.length > lines.length ? all.lines : lines, all.older)
      }}
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
