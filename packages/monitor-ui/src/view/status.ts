import type { TaskStatus } from '@taskfleet/protocol'
import { STATUS_WORD, WORKER_WORDS, type WorkerView } from '@taskfleet/react/internal'
import { Ban, CircleCheck, CircleDashed, CirclePause, CircleX, Link2, type LucideIcon, Play } from 'lucide-react'

export interface Look {
  icon: LucideIcon
  label: string
  /** A text colour; icons and bars take it as `currentColor`. */
  tone: string
}

/** The look of each status. A new one does not compile until it has an entry. */
export const STATUS_LOOK: Record<TaskStatus, Look> = {
  pending: { icon: CircleDashed, label: STATUS_WORD.pending, tone: 'text-wait' },
  running: { icon: Play, label: STATUS_WORD.running, tone: 'text-run' },
  paused: { icon: CirclePause, label: STATUS_WORD.paused, tone: 'text-warn' },
  blocked: { icon: Link2, label: STATUS_WORD.blocked, tone: 'text-block' },
  completed: { icon: CircleCheck, label: STATUS_WORD.completed, tone: 'text-done' },
  failed: { icon: CircleX, label: STATUS_WORD.failed, tone: 'text-bad' },
  cancelled: { icon: Ban, label: STATUS_WORD.cancelled, tone: 'text-dim' },
}

/** The look of each state of a worker. */
export const WORKER_LOOK: Record<WorkerView, { label: string; tone: string; hint: string }> = {
  running: { ...WORKER_WORDS.running, tone: 'text-done' },
  draining: { ...WORKER_WORDS.draining, tone: 'text-warn' },
  silent: { ...WORKER_WORDS.silent, tone: 'text-bad' },
  gone: { ...WORKER_WORDS.gone, tone: 'text-bad' },
  stopped: { ...WORKER_WORDS.stopped, tone: 'text-dim' },
}
