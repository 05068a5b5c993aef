import { useNavigate } from '@tanstack/react-router'
import { useAttention, useLiveQuery } from '@taskfleet/react'
import { useCallback, useEffect, useRef } from 'react'
import { errorsOf, watchedTasks } from '../live/queries.ts'
import { type Notice, noticesOf } from '../view/notices.ts'
import { notifyPermission } from './permission.ts'
import { useUi } from './ui-context.ts'

const OPEN_ERRORS = errorsOf('open')

/** Browser notifications of what the user has chosen, while the page is hidden. */
export function Notifications() {
  const kinds = useUi((ui) => ui.notify)
  const watched = useUi((ui) => ui.watched)
  if (notifyPermission() !== 'granted') return null
  return (
    <>
      {kinds.includes('errors') && <OfErrors />}
      {(kinds.includes('urgent') || kinds.includes('schedules')) && <OfAttention />}
      {kinds.includes('tasks') && watched.length > 0 && <OfTasks />}
    </>
  )
}

/** Shows each notice once. What was there at first, and what the user could see on the page, is not shown. */
function useNotify(notices: readonly Notice[] | undefined): void {
  const navigate = useNavigate()
  const known = useRef<Set<string>>(null)
  const open = useCallback(({ page }: Notice) => void navigate(page as never), [navigate])
  useEffect(() => {
    if (notices === undefined) return
    const isFirst = known.current === null
    known.current ??= new Set()
    for (const notice of notices) {
      if (known.current.has(notice.id)) continue
      known.current.add(notice.id)
      if (!isFirst) show(notice, open)
    }
  }, [notices, open])
}

function show(notice: Notice, open: (notice: Notice) => void): void {
  if (document.visibilityState !== 'hidden' || notifyPermission() !== 'granted') return
  try {
    // The tag keeps a second tab from showing it again.
    const { id, title, body } = notice
    const shown = new Notification(title, { body, tag: `taskfleet:${id}`, icon: 'icon.svg' })
    shown.onclick = () => {
      window.focus()
      open(notice)
      shown.close()
    }
  } catch {
    // Browsers of phones allow it to service workers alone.
  }
}

const NOTHING = { attention: [], errors: [], tasks: [] }

function OfErrors() {
  const { rows, loaded } = useLiveQuery(OPEN_ERRORS)
  useNotify(loaded ? noticesOf({ ...NOTHING, errors: rows }, ['errors']) : undefined)
  return null
}

function OfAttention() {
  const kinds = useUi((ui) => ui.notify)
  const { rows, loaded } = useAttention()
  useNotify(loaded ? noticesOf({ ...NOTHING, attention: rows }, kinds) : undefined)
  return null
}

function OfTasks() {
  const watched = useUi((ui) => ui.watched)
  const watch = useUi((ui) => ui.watch)
  const toast = useUi((ui) => ui.toast)
  const navigate = useNavigate()
  const { rows } = useLiveQuery(watchedTasks(watched))
  useEffect(() => {
    for (const row of rows) {
      for (const notice of noticesOf({ ...NOTHING, tasks: [row] }, ['tasks'])) {
        watch(row._id, false)
        if (document.visibilityState === 'hidden') show(notice, ({ page }) => void navigate(page as never))
        else toast({ kind: row.status === 'completed' ? 'good' : 'bad', text: notice.title, task: row._id })
      }
    }
  }, [rows, watch, toast, navigate])
  return null
}
