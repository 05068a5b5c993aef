import type { CommandName, TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { type ReactNode, useCallback, useRef, useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import { ReplayDialog } from '../shell/dialogs.tsx'
import { useUi } from '../shell/ui-context.ts'
import { isPossible } from '../view/commands.ts'
import { taskTitle } from '../view/task-title.ts'
import { CancelDialog } from './cancel-dialog.tsx'
import { useAct } from './use-act.ts'
import { useCommands } from './use-commands.ts'

/**
 * Commands on one task of a list. Pause, resume and retry act at once; cancel and replay ask first. What is not possible does nothing.
 *
 * @param onDone called with the task's id after a command at once or its undo, and when a dialog was closed
 */
export function useRowCommands(onDone: (id: string) => void = () => {}): {
  run: (command: CommandName, task: TaskRow) => void
  dialog: ReactNode
} {
  const client = useFleetClient()
  const { actAside } = useAct()
  const { one } = useCommands(([id]) => id !== undefined && onDone(id))
  const toast = useUi((ui) => ui.toast)
  const [asking, setAsking] = useState<{ command: 'cancel' | 'replay'; task: TaskRow }>()
  const run = (command: CommandName, task: TaskRow): void => {
    if (!isPossible(command, task)) return
    const title = taskTitle(task)
    if (command === 'cancel') setAsking({ command, task })
    // A row of a list has no input, and the dialog edits it.
    else if (command === 'replay')
      void client.tasks.show({ id: task._id }).then(
        (whole) => setAsking({ command, task: whole }),
        (thrown: unknown) => toast({ kind: 'bad', text: `${title}: ${wireError(thrown).message}` }),
      )
    else if (command !== 'reprioritise') actAside(() => one(command, task), `${title}: `)
  }
  const latest = useRef(run)
  latest.current = run
  const close = () => {
    if (asking !== undefined) onDone(asking.task._id)
    setAsking(undefined)
  }
  return {
    run: useCallback((command, task) => latest.current(command, task), []),
    dialog: (
      <>
        {asking?.command === 'cancel' && <CancelDialog task={asking.task} onClose={close} />}
        {asking?.command === 'replay' && <ReplayDialog task={asking.task} onClose={close} />}
      </>
    ),
  }
}
