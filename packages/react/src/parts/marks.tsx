import type { TaskRow, TaskStatus } from '@taskfleet/protocol'
import type { ReactElement } from 'react'
import type { RowSource, WorkerView } from '../row-source.ts'
import { stateWord } from '../words/status-words.ts'
import { visibleLine } from '../words/visible-text.ts'

/** What a colour says: it runs, it is well, it waits, it wants a look, it wants somebody. */
export type Tone = 'run' | 'good' | 'wait' | 'warn' | 'bad'

const STATUS_TONE: Record<TaskStatus, Tone> = {
  pending: 'wait',
  running: 'run',
  paused: 'warn',
  blocked: 'wait',
  completed: 'good',
  failed: 'bad',
  cancelled: 'wait',
}

export const WORKER_TONE: Record<WorkerView, Tone> = {
  running: 'good',
  draining: 'warn',
  silent: 'bad',
  gone: 'bad',
  stopped: 'wait',
}

export function toneOf({ status, control }: Pick<TaskRow, 'status' | 'control'>, source?: RowSource): Tone {
  if (source?.kind === 'silent') return 'bad'
  return status === 'running' && control !== undefined ? 'warn' : STATUS_TONE[status]
}

/** Lines in a square of 16. */
const STATUS_ICON: Record<TaskStatus, string> = {
  pending: 'M8 2.5a5.5 5.5 0 1 0 .01 0M8 5v3l2 1.5',
  running: 'M5 3.5v9l7.5-4.5z',
  paused: 'M5.5 4v8M10.5 4v8',
  blocked: 'M6.5 9.5l3-3M7.5 5L9 3.5A2.5 2.5 0 0 1 12.5 7L11 8.5M5 7.5L3.5 9A2.5 2.5 0 0 0 7 12.5L8.5 11',
  completed: 'M3 8.5l3.2 3.2L13 4.8',
  failed: 'M4 4l8 8M12 4l-8 8',
  cancelled: 'M8 2.5a5.5 5.5 0 1 0 .01 0M4.2 4.2l7.6 7.6',
}

/** The state of a task by icon, word and colour, so that it does not depend on one of them. */
export function StateMark({ task }: { task: Pick<TaskRow, 'status' | 'control'> }): ReactElement {
  return (
    <span className="taskfleet-state" data-tone={toneOf(task)}>
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
        <path
          d={STATUS_ICON[task.status]}
          fill={task.status === 'running' ? 'currentColor' : 'none'}
          stroke="currentColor"
          strokeWidth="1.8"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      </svg>
      {stateWord(task)}
    </span>
  )
}

/** A line of text from outside, with nothing hidden in it and a direction of its own. */
export function Foreign({ text, max = 160 }: { text: string; max?: number }): ReactElement {
  return <bdi title={text.length > 40 ? visibleLine(text, 600) : undefined}>{visibleLine(text, max)}</bdi>
}

interface TitleProps {
  text: string
  onOpen: (() => void) | undefined
}

/** A title, and a button where it opens something. */
export function Title({ text, onOpen }: TitleProps): ReactElement {
  const shown = <Foreign text={text} />
  if (onOpen === undefined) return <span className="taskfleet-title">{shown}</span>
  return (
    <button type="button" className="taskfleet-title" onClick={onOpen}>
      {shown}
    </button>
  )
}
