import type { CommandAnswer, CommandName, TaskRow, TaskStatus } from '@taskfleet/protocol'
import { Ban, ChevronsUp, CirclePause, CirclePlay, CopyPlus, type LucideIcon, RotateCcw } from 'lucide-react'
import { countOf, formatCount } from './counts.ts'
import { visibleLine } from './text.ts'

/** A command, which also works on many tasks, or an edit of one task. */
export type TaskAction = CommandName | 'edit'

const POSSIBLE: Record<TaskStatus, readonly TaskAction[]> = {
  pending: ['pause', 'edit', 'reprioritise', 'cancel'],
  running: ['pause', 'cancel'],
  paused: ['resume', 'edit', 'reprioritise', 'cancel'],
  blocked: ['edit', 'reprioritise', 'cancel'],
  completed: ['replay'],
  failed: ['retry', 'replay'],
  cancelled: ['retry', 'replay'],
}

/** Whether the gateway allows an action on a task now. */
export function isPossible(action: TaskAction, task: Pick<TaskRow, 'status' | 'control'>): boolean {
  const asked = task.status === 'running' ? task.control?.action : undefined
  // A requested pause can be taken back. After a requested cancel, a pause makes no sense.
  if (action === 'resume' && asked === 'pause') return true
  if (action === 'pause' && asked !== undefined) return false
  return POSSIBLE[task.status].includes(action)
}

interface CommandWords {
  icon: LucideIcon
  label: string
  /** Before "3 tasks" and the like. */
  asks: string
  /** After "can be", "was" and the like. */
  done: string
  /** The effect, for the confirmation dialog. */
  means: string
  /** Whether the dialog asks for a reason. */
  reason: boolean
}

/** The texts of each command. */
export const COMMAND_WORDS: Record<CommandName, CommandWords> = {
  cancel: {
    icon: Ban,
    label: 'Cancel',
    asks: 'Cancel',
    done: 'cancelled',
    means: 'Running tasks are stopped. None of them starts again by itself.',
    reason: true,
  },
  pause: {
    icon: CirclePause,
    label: 'Pause',
    asks: 'Pause',
    done: 'paused',
    means: 'Running tasks keep their checkpoint and free their slot. All tasks wait until they are resumed.',
    reason: true,
  },
  resume: {
    icon: CirclePlay,
    label: 'Resume',
    asks: 'Resume',
    done: 'resumed',
    means: 'The tasks wait for a free slot and continue from their checkpoint.',
    reason: false,
  },
  retry: {
    icon: RotateCcw,
    label: 'Retry',
    asks: 'Retry',
    done: 'retried',
    means: 'The same tasks wait again, with all their attempts and their original priority.',
    reason: false,
  },
  replay: {
    icon: CopyPlus,
    label: 'Replay',
    asks: 'Replay',
    done: 'replayed',
    means: 'Each task is enqueued again as a new task with the same input. The old tasks stay as they are.',
    reason: false,
  },
  reprioritise: {
    icon: ChevronsUp,
    label: 'Set priority',
    asks: 'Set the priority of',
    done: 'reprioritised',
    means: 'Higher priorities run first. Running tasks are not affected.',
    reason: false,
  },
}

/** The result of a command on one task, for a toast. */
export function answerToast(
  command: CommandName,
  title: string,
  running: boolean,
  answer: CommandAnswer,
): { kind: 'good' | 'bad'; text: string } {
  const [refused] = answer.refused
  if (refused !== undefined) return { kind: 'bad', text: `${title}: ${refused.error.message}` }
  const { done } = COMMAND_WORDS[command]
  if (answer.changed === 0) return { kind: 'good', text: `${title} was ${done} already` }
  const text = running && command === 'pause' ? `Requested to pause ${title}` : `${capital(done)} ${title}`
  return { kind: 'good', text }
}

/** The result of a command on several tasks: `3 tasks cancelled; 1 unchanged`. */
export function resultText(command: CommandName, { matched, changed, refused }: CommandAnswer): string {
  const { done } = COMMAND_WORDS[command]
  const already = matched - changed - refused.length
  const text = `${countOf(changed, 'task')} ${done}`
  return already > 0 ? `${text}; ${formatCount(already)} unchanged` : text
}

/** The same for a toast, with the most frequent reason of a refusal. */
export function resultToast(command: CommandName, answer: CommandAnswer): { kind: 'good' | 'bad'; text: string } {
  const [first] = groupRefusals(answer.refused)
  const text = resultText(command, answer)
  if (first === undefined) return { kind: 'good', text }
  return { kind: 'bad', text: `${text}; ${formatCount(answer.refused.length)} refused: ${first.message}` }
}

interface Refusals {
  code: string
  message: string
  ids: string[]
}

/** Refusals grouped by reason, the most frequent first. */
export function groupRefusals(refused: CommandAnswer['refused']): Refusals[] {
  const groups = new Map<string, Refusals>()
  for (const { id, error } of refused) {
    const group = groups.get(`${error.code}\n${error.message}`)
    if (group === undefined) {
      groups.set(`${error.code}\n${error.message}`, { code: error.code, message: error.message, ids: [id] })
    } else group.ids.push(id)
  }
  return [...groups.values()].sort((a, b) => b.ids.length - a.ids.length)
}

/** The statuses of the tasks: `2 completed, 1 running`. */
export function statusCounts(tasks: readonly Pick<TaskRow, 'status'>[]): string {
  const counts = new Map<string, number>()
  for (const { status } of tasks) counts.set(status, (counts.get(status) ?? 0) + 1)
  return [...counts].map(([status, count]) => `${count} ${visibleLine(status, 20)}`).join(', ')
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
