import type { TaskStatus } from '@taskfleet/protocol'
import { Ban, CircleCheck, CircleDashed, CirclePause, CircleX, Link2, type LucideIcon, Play } from 'lucide-react'
import type { WorkerView } from '../live/row-source.ts'

export interface Look {
  icon: LucideIcon
  label: string
  /** A text colour; icons and bars take it as `currentColor`. */
  tone: string
}

/** The look of each status. A new one does not compile until it has an entry. */
export const STATUS_LOOK: Record<TaskStatus, Look> = {
  pending: { icon: CircleDashed, label: 'Pending', tone: 'text-wait' },
  running: { icon: Play, label: 'Running', tone: 'text-run' },
  paused: { icon: CirclePause, label: 'Paused', tone: 'text-warn' },
  blocked: { icon: Link2, label: 'Blocked', tone: 'text-block' },
  completed: { icon: CircleCheck, label: 'Completed', tone: 'text-done' },
  failed: { icon: CircleX, label: 'Failed', tone: 'text-bad' },
  cancelled: { icon: Ban, label: 'Cancelled', tone: 'text-dim' },
}

/** The look of each state of a worker. */
export const WORKER_LOOK: Record<WorkerView, { label: string; tone: string; hint: string }> = {
  running: { label: 'Running', tone: 'text-done', hint: 'Accepts tasks' },
  draining: { label: 'Draining', tone: 'text-warn', hint: 'Finishes its tasks and accepts no new ones' },
  silent: {
    label: 'Silent',
    tone: 'text-bad',
    hint: 'It has missed three heartbeats. Its tasks run elsewhere once its lease ends',
  },
  gone: { label: 'Gone', tone: 'text-bad', hint: 'It was silent for too long. Its tasks run elsewhere' },
  stopped: { label: 'Stopped', tone: 'text-dim', hint: 'It was stopped' },
}
