import type { TaskRow } from '@taskfleet/protocol'
import { Ban, Pencil } from 'lucide-react'
import { useState } from 'react'
import { useCan } from '../live/hooks.ts'
import { EditDialog, ReplayDialog } from '../shell/dialogs.tsx'
import { COMMAND_WORDS, isPossible } from '../view/commands.ts'
import { taskTitle } from '../view/task-title.ts'
import { Button } from './button.tsx'
import { CancelDialog } from './cancel-dialog.tsx'
import { useAct } from './use-act.ts'
import { AT_ONCE, type AtOnce, useCommands } from './use-commands.ts'

/** The commands that are possible on a task now. */
export function TaskActions({ task }: { task: TaskRow }) {
  const { one } = useCommands()
  const mayControl = useCan('control')
  const [asking, setAsking] = useState<'cancel' | 'edit' | 'replay'>()
  const { busy, actAside } = useAct()
  const title = taskTitle(task)
  const close = () => setAsking(undefined)
  const run = (command: AtOnce) => actAside(() => one(command, task), `${title}: `)

  if (!mayControl) return null
  return (
    <div role="group" aria-label="Actions" className="flex flex-wrap gap-2">
      {AT_ONCE.filter((command) => isPossible(command, task)).map((command) => {
        const { icon, label } = COMMAND_WORDS[command]
        return (
          <Button key={command} icon={icon} disabled={busy} onClick={() => run(command)}>
            {label}
          </Button>
        )
      })}
      {isPossible('replay', task) && (
        <Button icon={COMMAND_WORDS.replay.icon} onClick={() => setAsking('replay')}>
          Replay…
        </Button>
      )}
      {isPossible('edit', task) && (
        <Button icon={Pencil} onClick={() => setAsking('edit')}>
          Edit…
        </Button>
      )}
      {isPossible('cancel', task) && (
        <Button icon={Ban} look="bad" onClick={() => setAsking('cancel')}>
          Cancel
        </Button>
      )}
      {asking === 'cancel' && <CancelDialog task={task} onClose={close} />}
      {asking === 'replay' && <ReplayDialog task={task} onClose={close} />}
      {asking === 'edit' && <EditDialog task={task} onClose={close} />}
    </div>
  )
}
