import { Link, Outlet, useNavigate } from '@tanstack/react-router'
import { useConnection, useLiveQuery } from '@taskfleet/react'
import { Keyboard, Plus, SunMoon } from 'lucide-react'
import { useEffect } from 'react'
import { Dialog } from '../components/dialog.tsx'
import { IconButton } from '../components/icon-button.tsx'
import { Toasts } from '../components/toasts.tsx'
import { useCan, useLimited } from '../live/hooks.ts'
import { ERROR_LIMIT, errorsOf } from '../live/queries.ts'
import { ConnectionBanner, ConnectionMark } from './connection.tsx'
import { NewTaskDialog } from './dialogs.tsx'
import { PAGES } from './pages.ts'
import { listenToShortcuts, NEW, SHORTCUTS } from './shortcuts.ts'
import { toggleTheme } from './theme.ts'
import { useUi } from './ui-context.ts'

const tab =
  'inline-flex items-center gap-1.5 rounded-md px-1.5 py-1.5 font-medium whitespace-nowrap text-dim hover:bg-raised sm:px-2 lg:px-2.5 hover:text-text data-[status=active]:bg-raised data-[status=active]:text-text'

/** The number of open errors. Empty when there are none, or when the key may not read them. */
function OpenErrors() {
  const { rows } = useLiveQuery(OPEN_ERRORS)
  if (rows.length === 0) return null
  const count = rows.length >= ERROR_LIMIT ? `${ERROR_LIMIT}+` : rows.length
  return (
    <span
      data-testid="open-errors"
      className="rounded-full bg-bad/15 px-1.5 text-[11px] leading-[18px] font-semibold text-bad"
    >
      {count}
      <span className="sr-only"> open</span>
    </span>
  )
}

const OPEN_ERRORS = errorsOf('open')

/** The frame of every page: the navigation, the state of the connection, dialogs and toasts. */
export function Layout() {
  const navigate = useNavigate()
  const { state } = useConnection()
  const mayWrite = useCan('write')
  const isAdmin = useCan('admin')
  const isLimited = useLimited()
  const seesKeys = isAdmin && !isLimited
  const dialog = useUi((ui) => ui.dialog)
  const open = useUi((ui) => ui.open)

  useEffect(() => {
    const pages = PAGES.map(({ key, to }) => [`g ${key}`, () => void navigate({ to })])
    return listenToShortcuts({
      ...Object.fromEntries(pages),
      ...(!seesKeys && { 'g k': undefined }),
      '/': async () => {
        if (document.getElementById('task-filter') === null) await navigate({ to: '/tasks' })
        requestAnimationFrame(() => document.getElementById('task-filter')?.focus())
      },
      n: mayWrite ? () => open('new') : undefined,
      t: toggleTheme,
      '?': () => open('shortcuts'),
    })
  }, [navigate, open, mayWrite, seesKeys])

  const shown = PAGES.filter(({ to }) => to !== '/keys' || seesKeys)
  return (
    <div className="flex h-full flex-col" data-outdated={state === 'live' ? undefined : ''}>
      <header className="flex h-12 shrink-0 items-center gap-1 border-b border-line bg-panel px-3 sm:gap-2 sm:px-4">
        <Link
          to="/"
          className="mr-1 flex shrink-0 items-center gap-2 rounded-md text-[15px] whitespace-nowrap font-semibold tracking-tight sm:mr-3"
          aria-label="Taskfleet"
        >
          <img src="icon.svg" alt="" width={22} height={22} />
          <span className="max-sm:hidden">Taskfleet</span>
        </Link>
        <nav className="flex min-w-0 gap-0.5 overflow-x-auto lg:gap-1" aria-label="Pages">
          {shown.map(({ to, label, icon: Icon, key }) => (
            <Link
              key={to}
              to={to}
              activeOptions={{ exact: to === '/', includeSearch: false }}
              className={tab}
              title={`${label} (g ${key})`}
            >
              <Icon size={15} aria-hidden className="shrink-0" />
              <span className="max-lg:sr-only">{label}</span>
              {to === '/errors' && <OpenErrors />}
            </Link>
          ))}
        </nav>
        <div className="ml-auto flex items-center gap-0.5 sm:gap-1">
          <ConnectionMark />
          <span className="max-sm:hidden">
            <IconButton
              icon={Keyboard}
              label="Keyboard shortcuts"
              title="Keyboard shortcuts (?)"
              onClick={() => open('shortcuts')}
            />
          </span>
          <IconButton icon={SunMoon} label="Light or dark" title="Light or dark (t)" onClick={toggleTheme} />
          {mayWrite && (
            <button
              type="button"
              className="button button-solid ml-1 max-sm:size-8 max-sm:p-0"
              aria-label="New task"
              title="New task (n)"
              onClick={() => open('new')}
            >
              <Plus size={15} aria-hidden />
              <span className="max-sm:hidden">New task</span>
            </button>
          )}
        </div>
      </header>
      <ConnectionBanner />
      <main className="min-h-0 flex-1 overflow-auto">
        <Outlet />
      </main>
      {dialog === 'new' && mayWrite && <NewTaskDialog onClose={() => open(null)} />}
      {dialog === 'shortcuts' && (
        <Dialog title="Keyboard shortcuts" onClose={() => open(null)}>
          <dl className="grid grid-cols-[auto_1fr] items-center gap-x-5 gap-y-2">
            {SHORTCUTS.filter(([, does]) => mayWrite || does !== NEW).map(([keys, does]) => (
              <Shortcut key={does} keys={keys} does={does} />
            ))}
            {shown.map(({ key, label }) => (
              <Shortcut key={key} keys={['g', key]} does={`Go to ${label}`} />
            ))}
          </dl>
        </Dialog>
      )}
      <Toasts />
    </div>
  )
}

function Shortcut({ keys, does }: { keys: readonly string[]; does: string }) {
  return (
    <>
      <dt className="flex gap-1">
        {keys.map((key) => (
          <kbd
            key={key}
            className="min-w-6 rounded border border-edge bg-raised px-1.5 py-0.5 text-center font-mono text-xs"
          >
            {key}
          </kbd>
        ))}
      </dt>
      <dd>{does}</dd>
    </>
  )
}
