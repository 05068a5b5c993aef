import type { TaskRow, TaskStatus } from '@taskfleet/protocol'
import type { WorkerView } from '../row-source.ts'

/** A new status does not compile until it has a word. */
export const STATUS_WORD: Record<TaskStatus, string> = {
  pending: 'Pending',
  running: 'Running',
  paused: 'Paused',
  blocked: 'Blocked',
  completed: 'Completed',
  failed: 'Failed',
  cancelled: 'Cancelled',
}

/** The state of a task in a word, with what a running one was asked to do. */
export function stateWord({ status, control }: Pick<TaskRow, 'status' | 'control'>): string {
  const asked = status === 'running' ? control?.action : undefined
  if (asked === undefined) return STATUS_WORD[status]
  return asked === 'cancel' ? 'Cancelling' : 'Pausing'
}

export const WORKER_WORDS: Record<WorkerView, { label: string; hint: string }> = {
  running: { label: 'Running', hint: 'Accepts tasks' },
  draining: { label: 'Draining', hint: 'Finishes its tasks and accepts no new ones' },
  silent: {
    label: 'Silent',
    hint: 'It has missed three heartbeats. Its tasks run elsewhere once its lease ends',
  },
  gone: { label: 'Gone', hint: 'It was silent for too long. Its tasks run elsewhere' },
  stopped: { label: 'Stopped', hint: 'It was stopped' },
}
