import { Bell } from 'lucide-react'
import { useState } from 'react'
import { askToNotify, type NotifyPermission, notifyPermission } from '../shell/permission.ts'
import { useUi } from '../shell/ui-context.ts'
import { countOf } from '../view/counts.ts'
import { NOTICE_KINDS, type NoticeKind } from '../view/notices.ts'
import { Button } from './button.tsx'
import { Section } from './section.tsx'

const KINDS = Object.keys(NOTICE_KINDS) as NoticeKind[]
/** What is on once the user has allowed notifications. */
const AT_FIRST: NoticeKind[] = ['errors', 'schedules', 'tasks']

const STATE: Record<NotifyPermission, string> = {
  granted: 'This browser shows them while the page is open in a tab that is not in front.',
  default: 'The browser asks once whether this page may notify.',
  denied: 'This browser blocks notifications of this page. Allow them in the site settings of the browser.',
  impossible: 'This browser can’t notify. It needs https, or an address on this computer.',
}

/** What this browser notifies of. Other browsers have their own choice. */
export function NotificationsSection() {
  const kinds = useUi((ui) => ui.notify)
  const watched = useUi((ui) => ui.watched)
  const setNotify = useUi((ui) => ui.setNotify)
  const [permission, setPermission] = useState(notifyPermission)
  const allow = async () => {
    const decided = await askToNotify()
    setPermission(decided)
    if (decided === 'granted') setNotify(kinds.length === 0 ? AT_FIRST : [...kinds])
  }
  return (
    <Section title="Notifications" head={<p className="text-dim">In this browser only.</p>}>
      <div className="panel flex flex-col gap-3 p-3">
        <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
          <p className={permission === 'denied' ? 'text-warn' : 'text-dim'}>{STATE[permission]}</p>
          {permission === 'default' && (
            <Button icon={Bell} onClick={() => void allow()}>
              Allow notifications…
            </Button>
          )}
        </div>
        <fieldset disabled={permission !== 'granted'} className="flex flex-col gap-2 disabled:opacity-55">
          <legend className="sr-only">Notify of</legend>
          {KINDS.map((kind) => (
            <label key={kind} className="flex cursor-pointer items-start gap-2">
              <input
                type="checkbox"
                className="mt-0.5 size-3.5 cursor-pointer accent-solid"
                checked={kinds.includes(kind)}
                onChange={({ target: { checked } }) =>
                  setNotify(KINDS.filter((one) => (one === kind ? checked : kinds.includes(one))))
                }
              />
              <span>
                <span className="font-medium">{NOTICE_KINDS[kind].label}</span>
                <span className="block text-xs text-dim">
                  {NOTICE_KINDS[kind].hint}
                  {kind === 'tasks' && watched.length > 0 && ` ${countOf(watched.length, 'task')} watched now.`}
                </span>
              </span>
            </label>
          ))}
        </fieldset>
      </div>
    </Section>
  )
}
