import type { CommandName, TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import type { ToastText } from '../shell/ui-store.ts'
import { answerToast, isPossible, resultToast } from '../view/commands.ts'
import { taskTitle } from '../view/task-title.ts'
import type { BulkTarget } from './bulk-dialog.tsx'

/** The commands on one task that ask nothing. */
export const AT_ONCE = ['pause', 'resume', 'retry'] as const satisfies CommandName[]
export type AtOnce = (typeof AT_ONCE)[number]

/** A command on more tasks is carried out by a gateway and has a page of its own, so its dialog comes first. */
export const FEW = 100

const UNDO: Partial<Record<CommandName, AtOnce>> = { pause: 'resume', resume: 'pause' }

/** Whether a command on these tasks asks nothing: they are few, and it can be taken back. */
export const asksNothing = (command: CommandName, target: BulkTarget): command is AtOnce => {
  if (UNDO[command] === undefined || target.kind === 'filter') return false
  const able = target.tasks.filter((task) => isPossible(command, task)).length
  return able > 0 && able <= FEW
}

/**
 * Commands at once. The toasts of `pause` and `resume` take them back.
 *
 * @param onDone called with the ids of the tasks after a command, and after its undo
 */
export function useCommands(onDone: (ids: string[]) => void = () => {}) {
  const client = useFleetClient()
  const one = async (command: AtOnce, task: TaskRow): Promise<ToastText> => {
    const answer = await client.tasks[command]({ id: task._id })
    onDone([task._id])
    const toast = answerToast(command, taskTitle(task), task.status === 'running', answer)
    const undo = UNDO[command]
    return undo === undefined || answer.changed === 0 ? toast : { ...toast, undo: () => one(undo, task) }
  }
  const many = async (command: AtOnce, ids: string[]): Promise<ToastText> => {
    const answer = await client.tasks[command]({ ids })
    onDone(ids)
    const toast = resultToast(command, answer)
    const refused = new Set(answer.refused.map(({ id }) => id))
    const changed = ids.filter((id) => !refused.has(id))
    const undo = UNDO[command]
    return undo === undefined || answer.changed === 0 ? toast : { ...toast, undo: () => many(undo, changed) }
  }
  return {
    one,
    /** Tasks that the command can't change are left out. */
    many: (command: AtOnce, tasks: readonly TaskRow[]) =>
      many(
        command,
        tasks.flatMap((task) => (isPossible(command, task) ? task._id : [])),
      ),
  }
}
