import { Link, Outlet, useNavigate } from '@tanstack/react-router'
import { Keyboard, LayoutGrid, List, Plus, SunMoon } from 'lucide-react'
import { useEffect } from 'react'
import { Dialog } from '../components/dialog.tsx'
import { NewTaskDialog } from '../components/new-task-dialog.tsx'
import { Toasts } from '../components/toasts.tsx'
import { useConnection } from '../live/hooks.ts'
import { ConnectionBanner, ConnectionMark } from './connection.tsx'
import { listenToShortcuts, SHORTCUTS } from './shortcuts.ts'
import { toggleTheme } from './theme.ts'
import { useUi } from './ui-context.ts'

const tab =
  'inline-flex items-center gap-1.5 rounded-md px-2.5 py-1.5 font-medium text-dim hover:bg-raised hover:text-text data-[status=active]:bg-raised data-[status=active]:text-text'
const tool = 'inline-flex size-8 items-center justify-center rounded-md text-dim hover:bg-raised hover:text-text'

/** What every page has around it: the way to the others, the connection's state, and the keys. */
export function Layout() {
  const navigate = useNavigate()
  const { state } = useConnection()
  const dialog = useUi((ui) => ui.dialog)
  const open = useUi((ui) => ui.open)

  useEffect(
    () =>
      listenToShortcuts({
        fleet: () => void navigate({ to: '/' }),
        tasks: () => void navigate({ to: '/tasks' }),
        filter: async () => {
          if (document.getElementById('task-filter') === null) await navigate({ to: '/tasks' })
          requestAnimationFrame(() => document.getElementById('task-filter')?.focus())
        },
        create: () => open('new'),
        theme: toggleTheme,
        help: () => open('shortcuts'),
      }),
    [navigate, open],
  )

  return (
    <div className="flex h-full flex-col" data-outdated={state === 'live' ? undefined : ''}>
      <header className="flex h-12 shrink-0 items-center gap-1 border-b border-line bg-panel px-3 sm:gap-2 sm:px-4">
        <Link
          to="/"
          className="mr-1 flex items-center gap-2 rounded-md text-[15px] font-semibold tracking-tight sm:mr-3"
          aria-label="Taskfleet"
        >
          <img src="/icon.svg" alt="" width={22} height={22} />
          <span className="max-sm:hidden">Taskfleet</span>
        </Link>
        <nav className="flex gap-1" aria-label="Pages">
          <Link to="/" activeOptions={{ exact: true }} className={tab}>
            <LayoutGrid size={15} aria-hidden /> Fleet
          </Link>
          <Link to="/tasks" activeOptions={{ exact: false, includeSearch: false }} className={tab}>
            <List size={15} aria-hidden /> Tasks
          </Link>
        </nav>
        <div className="ml-auto flex items-center gap-0.5 sm:gap-1">
          <ConnectionMark />
          <button
            type="button"
            className={`${tool} max-sm:hidden`}
            aria-label="Keyboard shortcuts"
            title="Keyboard shortcuts (?)"
            onClick={() => open('shortcuts')}
          >
            <Keyboard size={16} aria-hidden />
          </button>
          <button
            type="button"
            className={tool}
            aria-label="Light or dark"
            title="Light or dark (t)"
            onClick={toggleTheme}
          >
            <SunMoon size={16} aria-hidden />
          </button>
          <button
            type="button"
            className="button button-solid ml-1 max-sm:size-8 max-sm:p-0"
            aria-label="New download"
            title="New download (n)"
            onClick={() => open('new')}
          >
            <Plus size={15} aria-hidden />
            <span className="max-sm:hidden">New download</span>
          </button>
        </div>
      </header>
      <ConnectionBanner />
      <main className="min-h-0 flex-1 overflow-auto">
        <Outlet />
      </main>
      {dialog === 'new' && <NewTaskDialog onClose={() => open(null)} />}
      {dialog === 'shortcuts' && (
        <Dialog title="Keys" onClose={() => open(null)}>
          <dl className="grid grid-cols-[auto_1fr] items-center gap-x-5 gap-y-2">
            {SHORTCUTS.map(([keys, does]) => (
              <div key={does} className="contents">
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
              </div>
            ))}
          </dl>
        </Dialog>
      )}
      <Toasts />
    </div>
  )
}
