import { Bell, BellRing } from 'lucide-react'
import { askToNotify, notifyPermission } from '../shell/permission.ts'
import { useUi } from '../shell/ui-context.ts'
import { Button } from './button.tsx'

/** Notifies this browser's user when a task ends. */
export function WatchButton({ task }: { task: string }) {
  const watched = useUi((ui) => ui.watched.includes(task))
  const kinds = useUi((ui) => ui.notify)
  const setNotify = useUi((ui) => ui.setNotify)
  const watch = useUi((ui) => ui.watch)
  const toast = useUi((ui) => ui.toast)
  if (notifyPermission() === 'impossible') return null
  const toggle = async () => {
    if (watched) return watch(task, false)
    if ((await askToNotify()) !== 'granted') {
      return toast({ kind: 'bad', text: 'This browser does not allow notifications of this page' })
    }
    if (!kinds.includes('tasks')) setNotify([...kinds, 'tasks'])
    watch(task, true)
  }
  return (
    <Button
      icon={watched ? BellRing : Bell}
      aria-pressed={watched}
      title="A notification of this browser when the task ends"
      onClick={() => void toggle()}
    >
      Notify me
    </Button>
  )
}
