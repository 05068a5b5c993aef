import type { CommandName, TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { Ban, Pencil } from 'lucide-react'
import { useState } from 'react'
import { useCan } from '../live/hooks.ts'
import { EditDialog, ReplayDialog } from '../shell/dialogs.tsx'
import { useUi } from '../shell/ui-context.ts'
import { answerToast, COMMAND_WORDS, isPossible } from '../view/commands.ts'
import { taskTitle } from '../view/task-title.ts'
import { CancelDialog } from './cancel-dialog.tsx'
import { useAct } from './use-act.ts'

const AT_ONCE = ['pause', 'resume', 'retry'] as const satisfies CommandName[]

/** What can be done to a task as it is now, by whoever looks at it. */
export function TaskActions({ task }: { task: TaskRow }) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const mayControl = useCan('control')
  const [asking, setAsking] = useState<'cancel' | 'edit' | 'replay'>()
  const { busy, actAside } = useAct()
  const title = taskTitle(task)
  const run = (command: (typeof AT_ONCE)[number]) =>
    actAside(async () => {
      toast(answerToast(command, title, task.status === 'running', await client.tasks[command]({ id: task._id })))
    }, `${title}: `)

  if (!mayControl) return null
  const Replay = COMMAND_WORDS.replay.icon
  return (
    <div role="group" aria-label="Actions" className="flex flex-wrap gap-2">
      {AT_ONCE.filter((command) => isPossible(command, task)).map((command) => {
        const { icon: Icon, label } = COMMAND_WORDS[command]
        return (
          <button key={command} type="button" className="button" disabled={busy} onClick={() => run(command)}>
            <Icon size={14} aria-hidden /> {label}
          </button>
        )
      })}
      {isPossible('replay', task) && (
        <button type="button" className="button" onClick={() => setAsking('replay')}>
          <Replay size={14} aria-hidden /> Replay…
        </button>
      )}
      {isPossible('edit', task) && (
        <button type="button" className="button" onClick={() => setAsking('edit')}>
          <Pencil size={14} aria-hidden /> Edit…
        </button>
      )}
      {isPossible('cancel', task) && (
        <button type="button" className="button button-bad" onClick={() => setAsking('cancel')}>
          <Ban size={14} aria-hidden /> Cancel
        </button>
      )}
      {asking === 'cancel' && <CancelDialog task={task} onClose={() => setAsking(undefined)} />}
      {asking === 'replay' && <ReplayDialog task={task} onClose={() => setAsking(undefined)} />}
      {asking === 'edit' && <EditDialog task={task} onClose={() => setAsking(undefined)} />}
    </div>
  )
}
