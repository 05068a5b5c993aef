import type { CommandName, TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { type ReactNode, useCallback, useRef, useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import { ReplayDialog } from '../shell/dialogs.tsx'
import { useUi } from '../shell/ui-context.ts'
import { answerToast, isPossible } from '../view/commands.ts'
import { taskTitle } from '../view/task-title.ts'
import { CancelDialog } from './cancel-dialog.tsx'
import { useAct } from './use-act.ts'

/**
 * Commands on one task of a list. Pause, resume and retry act at once; cancel and replay ask first. What is not possible does nothing.
 *
 * @param onDone called after a command at once, and when a dialog was closed
 */
export function useRowCommands(onDone: (task: TaskRow) => void = () => {}): {
  run: (command: CommandName, task: TaskRow) => void
  dialog: ReactNode
} {
  const client = useFleetClient()
  const { actAside } = useAct()
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
    else if (command !== 'reprioritise')
      actAside(async () => {
        const answer = await client.tasks[command]({ id: task._id })
        onDone(task)
        return answerToast(command, title, task.status === 'running', answer)
      }, `${title}: `)
  }
  const latest = useRef(run)
  latest.current = run
  const close = () => {
    if (asking !== undefined) onDone(asking.task)
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
