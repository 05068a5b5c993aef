import { Link, Outlet, useNavigate } from '@tanstack/react-router'
import { useConnection, useLiveQuery } from '@taskfleet/react'
import {
  Bug,
  CalendarClock,
  Keyboard,
  KeyRound,
  Layers,
  LayoutGrid,
  List,
  type LucideIcon,
  Plus,
  Puzzle,
  ScrollText,
  SunMoon,
  Zap,
} from 'lucide-react'
import { type ReactNode, useEffect } from 'react'
import { Dialog } from '../components/dialog.tsx'
import { Toasts } from '../components/toasts.tsx'
import { useCan, useLimited } from '../live/hooks.ts'
import { ERROR_LIMIT, errorsOf } from '../live/queries.ts'
import { ConnectionBanner, ConnectionMark } from './connection.tsx'
import { NewTaskDialog } from './dialogs.tsx'
import { KEYS, listenToShortcuts, NEW, SHORTCUTS } from './shortcuts.ts'
import { toggleTheme } from './theme.ts'
import { useUi } from './ui-context.ts'

const tab =
  'inline-flex items-center gap-1.5 rounded-md px-1.5 py-1.5 font-medium whitespace-nowrap text-dim hover:bg-raised sm:px-2 lg:px-2.5 hover:text-text data-[status=active]:bg-raised data-[status=active]:text-text'
const tool = 'inline-flex size-8 items-center justify-center rounded-md text-dim hover:bg-raised hover:text-text'

function TabText({ icon: Icon, children }: { icon: LucideIcon; children: ReactNode }) {
  return (
    <>
      <Icon size={15} aria-hidden className="shrink-0" />
      <span className="max-lg:sr-only">{children}</span>
    </>
  )
}

/** How many errors are open; nothing while there are none or nobody may know. */
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

/** What every page has around it: the way to the others, the connection's state, and the keys. */
export function Layout() {
  const navigate = useNavigate()
  const { state } = useConnection()
  const mayWrite = useCan('write')
  const isAdmin = useCan('admin')
  const isLimited = useLimited()
  const seesKeys = isAdmin && !isLimited
  const dialog = useUi((ui) => ui.dialog)
  const open = useUi((ui) => ui.open)

  useEffect(
    () =>
      listenToShortcuts({
        fleet: () => void navigate({ to: '/' }),
        tasks: () => void navigate({ to: '/tasks' }),
        errors: () => void navigate({ to: '/errors' }),
        coverage: () => void navigate({ to: '/coverage' }),
        queues: () => void navigate({ to: '/queues' }),
        filter: async () => {
          if (document.getElementById('task-filter') === null) await navigate({ to: '/tasks' })
          requestAnimationFrame(() => document.getElementById('task-filter')?.focus())
        },
        audit: () => void navigate({ to: '/audit' }),
        events: () => void navigate({ to: '/events' }),
        schedules: () => void navigate({ to: '/schedules' }),
        keys: seesKeys ? () => void navigate({ to: '/keys' }) : undefined,
        create: mayWrite ? () => open('new') : undefined,
        theme: toggleTheme,
        help: () => open('shortcuts'),
      }),
    [navigate, open, mayWrite, seesKeys],
  )

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
          <Link to="/" activeOptions={{ exact: true }} className={tab} title="Fleet (g f)">
            <TabText icon={LayoutGrid}>Fleet</TabText>
          </Link>
          <Link to="/tasks" activeOptions={{ exact: false, includeSearch: false }} className={tab} title="Tasks (g t)">
            <TabText icon={List}>Tasks</TabText>
          </Link>
          <Link to="/errors" activeOptions={{ includeSearch: false }} className={tab} title="Errors (g e)">
            <TabText icon={Bug}>Errors</TabText>
            <OpenErrors />
          </Link>
          <Link to="/coverage" className={tab} title="Coverage (g c)">
            <TabText icon={Puzzle}>Coverage</TabText>
          </Link>
          <Link to="/queues" className={tab} title="Queues (g q)">
            <TabText icon={Layers}>Queues</TabText>
          </Link>
          <Link to="/events" activeOptions={{ includeSearch: false }} className={tab} title="Events (g v)">
            <TabText icon={Zap}>Events</TabText>
          </Link>
          <Link to="/schedules" activeOptions={{ includeSearch: false }} className={tab} title="Schedules (g s)">
            <TabText icon={CalendarClock}>Schedules</TabText>
          </Link>
          <Link to="/audit" className={tab} title="Audit (g a)">
            <TabText icon={ScrollText}>Audit</TabText>
          </Link>
          {seesKeys && (
            <Link to="/keys" className={tab} title="Keys (g k)">
              <TabText icon={KeyRound}>Keys</TabText>
            </Link>
          )}
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
          {mayWrite && (
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
            {SHORTCUTS.filter(([, does]) => (mayWrite || does !== NEW) && (seesKeys || does !== KEYS)).map(
              ([keys, does]) => (
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
              ),
            )}
          </dl>
        </Dialog>
      )}
      <Toasts />
    </div>
  )
}
