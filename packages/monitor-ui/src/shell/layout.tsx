import { Link, Outlet, useNavigate, useSearch } from '@tanstack/react-router'
import { useConnection } from '@taskfleet/react'
import { CircleUserRound, Plus, Search } from 'lucide-react'
import { useEffect, useState } from 'react'
import { IconButton } from '../components/icon-button.tsx'
import { Toasts } from '../components/toasts.tsx'
import { useCan } from '../live/hooks.ts'
import { setZone } from '../view/zone.ts'
import { ConnectionBanner, ConnectionMark } from './connection.tsx'
import { NewTaskDialog, Notifications, Palette, PreferencesDialog, ShortcutsDialog } from './dialogs.tsx'
import { EnvironmentMark } from './environment.tsx'
import { keepChoice, keptChoice } from './kept-choice.ts'
import { BottomBar, Rail } from './navigation.tsx'
import { PAGES } from './pages.ts'
import { RangePicker } from './range-picker.tsx'
import { listenToShortcuts } from './shortcuts.ts'
import { toggleTheme } from './theme.ts'
import { useUi } from './ui-context.ts'
import { useMedia } from './use-media.ts'

/** Wide enough for the rail; narrower windows have the bar at the bottom. */
const HAS_RAIL = '(min-width: 640px)'

/** The frame of every page: the navigation, search, the time range, the connection, dialogs and toasts. */
export function Layout() {
  const navigate = useNavigate()
  const { state } = useConnection()
  const mayWrite = useCan('write')
  const dialog = useUi((ui) => ui.dialog)
  const open = useUi((ui) => ui.open)
  const hasRail = useMedia(HAS_RAIL)
  const [zone, setShownZone] = useState(() => keptZone())
  const close = () => open(null)
  const { wall } = useSearch({ strict: false })

  useEffect(() => {
    const pages = PAGES.map(({ key, to }) => [`g ${key}`, () => void navigate({ to })])
    return listenToShortcuts({
      ...Object.fromEntries(pages),
      '/': async () => {
        if (document.getElementById('task-filter') === null) await navigate({ to: '/tasks' })
        requestAnimationFrame(() => document.getElementById('task-filter')?.focus())
      },
      n: mayWrite ? () => open('new') : undefined,
      t: toggleTheme,
      'Ctrl k': () => open('palette'),
      '?': () => open('shortcuts'),
    })
  }, [navigate, open, mayWrite])

  return (
    <div className="flex h-full flex-col" data-outdated={state === 'live' ? undefined : ''}>
      {wall === undefined && (
        <header className="flex h-12 shrink-0 items-center gap-1.5 border-b border-line bg-panel px-2 sm:gap-2 sm:px-3">
          <Link
            to="/"
            className="flex shrink-0 items-center gap-2 rounded-md px-1 text-[15px] font-semibold tracking-tight whitespace-nowrap"
            aria-label="Taskfleet"
          >
            <img src="icon.svg" alt="" width={22} height={22} />
            <span className="max-lg:hidden">Taskfleet</span>
          </Link>
          <EnvironmentMark />
          <button
            type="button"
            aria-label="Search"
            title="Search and act (Ctrl K)"
            className="button min-w-0 shrink justify-start text-dim max-sm:border-transparent max-sm:px-2 sm:w-[260px]"
            onClick={() => open('palette')}
          >
            <Search size={14} aria-hidden className="shrink-0" />
            <span className="truncate max-sm:hidden">Search and act</span>
            <kbd className="ml-auto font-mono text-[11px] max-md:hidden">Ctrl K</kbd>
          </button>
          <div className="ml-auto flex min-w-0 items-center gap-1 sm:gap-1.5">
            <RangePicker />
            <ConnectionMark />
            <IconButton
              icon={CircleUserRound}
              label="Key and preferences"
              title="Key and preferences"
              onClick={() => open('preferences')}
            />
            {mayWrite && (
              <button
                type="button"
                className="button button-solid shrink-0 max-sm:size-8 max-sm:p-0"
                aria-label="New task"
                title="New task (n)"
                onClick={() => open('new')}
              >
                <Plus size={15} aria-hidden />
                <span className="max-md:hidden">New task</span>
              </button>
            )}
          </div>
        </header>
      )}
      <ConnectionBanner />
      <div className="flex min-h-0 flex-1">
        {hasRail && wall === undefined && <Rail />}
        {/* Every date is drawn again in another zone. */}
        <main key={zone} className="min-h-0 min-w-0 flex-1 overflow-auto">
          <Outlet />
        </main>
      </div>
      {!hasRail && wall === undefined && <BottomBar />}
      {dialog === 'new' && mayWrite && <NewTaskDialog onClose={close} />}
      {dialog === 'palette' && <Palette onClose={close} />}
      {dialog === 'preferences' && (
        <PreferencesDialog
          zone={zone}
          onZone={(chosen) => {
            setZone(chosen)
            keepChoice('zone', chosen)
            setShownZone(chosen)
          }}
          onClose={close}
        />
      )}
      {dialog === 'shortcuts' && <ShortcutsDialog mayWrite={mayWrite} onClose={close} />}
      <Notifications />
      <Toasts />
    </div>
  )
}

function keptZone(): string | undefined {
  const zone = keptChoice('zone')
  setZone(zone)
  return zone
}
