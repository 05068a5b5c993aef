import { Link, useLocation } from '@tanstack/react-router'
import { useLiveQuery } from '@taskfleet/react'
import { Ellipsis, PanelLeft } from 'lucide-react'
import { useEffect, useState } from 'react'
import { useHasDownloads } from '../live/hooks.ts'
import { ERROR_LIMIT, errorsOf } from '../live/queries.ts'
import { keepChoice, keptChoice } from './kept-choice.ts'
import { DOWNLOADS, IN_BAR, PAGES } from './pages.ts'
import { useMedia } from './use-media.ts'

const OPEN_ERRORS = errorsOf('open')

/** The number of open errors. Empty when there are none, or when the key may not read them. */
function OpenErrors({ className = '' }: { className?: string }) {
  const { rows } = useLiveQuery(OPEN_ERRORS)
  if (rows.length === 0) return null
  return (
    <span
      data-testid="open-errors"
      className={`rounded-full bg-bad/15 px-1.5 text-[11px] leading-[18px] font-semibold text-bad ${className}`}
    >
      {rows.length >= ERROR_LIMIT ? `${ERROR_LIMIT}+` : rows.length}
      <span className="sr-only"> open</span>
    </span>
  )
}

/** The pages of this fleet. A page that is open is always among them. */
function usePages() {
  const { pathname } = useLocation()
  const isShown = useHasDownloads() || pathname === DOWNLOADS
  return isShown ? PAGES : PAGES.filter(({ to }) => to !== DOWNLOADS)
}

const item =
  'relative flex items-center gap-3 rounded-md font-medium whitespace-nowrap text-dim hover:bg-raised hover:text-text data-[status=active]:bg-raised data-[status=active]:text-text'

/** The pages at the left: icons with words, or icons alone in a narrow window or when the user wants it so. */
export function Rail() {
  const wide = useMedia('(min-width: 1280px)')
  const [chosen, setChosen] = useState(() => keptChoice('rail'))
  const pages = usePages()
  const open = (chosen ?? (wide ? 'wide' : 'narrow')) === 'wide'
  const toggle = () => {
    const next = open ? 'narrow' : 'wide'
    setChosen(next)
    keepChoice('rail', next)
  }
  return (
    <nav
      aria-label="Pages"
      data-open={open}
      className={`flex shrink-0 flex-col gap-0.5 overflow-y-auto border-r border-line bg-panel p-2 ${open ? 'w-[200px]' : 'w-14'}`}
    >
      {pages.map(({ to, label, icon: Icon, key }) => (
        <Link
          key={to}
          to={to}
          activeOptions={{ exact: to === '/', includeSearch: false }}
          className={`${item} h-9 px-[11px]`}
          title={`${label} (g ${key})`}
        >
          <Icon size={17} aria-hidden className="shrink-0" />
          <span className={open ? '' : 'sr-only'}>{label}</span>
          {to === '/errors' && <OpenErrors className={open ? 'ml-auto' : 'absolute top-0 right-0'} />}
        </Link>
      ))}
      <button
        type="button"
        className={`${item} mt-auto h-9 px-[11px]`}
        aria-expanded={open}
        aria-label="Names of pages"
        title={open ? 'Hide the names of pages' : 'Show the names of pages'}
        onClick={toggle}
      >
        <PanelLeft size={17} aria-hidden className="shrink-0" />
        {open && 'Narrower'}
      </button>
    </nav>
  )
}

const touch =
  'flex min-w-0 flex-1 flex-col items-center justify-center gap-0.5 text-[11px] font-medium text-dim data-[status=active]:text-run'

/** The pages at the bottom of a phone. */
export function BottomBar() {
  const [more, setMore] = useState(false)
  const { pathname } = useLocation()
  // On purpose: another page closes the list
  useEffect(() => setMore(false), [pathname])
  const pages = usePages()
  const others = pages.slice(IN_BAR)
  return (
    <nav aria-label="Pages" className="shrink-0 border-t border-line bg-panel pb-[env(safe-area-inset-bottom)]">
      {more && (
        <ul className="grid grid-cols-3 gap-1 border-b border-line p-2">
          {others.map(({ to, label, icon: Icon }) => (
            <li key={to}>
              <Link
                to={to}
                activeOptions={{ includeSearch: false }}
                className={`${item} h-12 px-3`}
                onClick={() => setMore(false)}
              >
                <Icon size={17} aria-hidden className="shrink-0" />
                {label}
              </Link>
            </li>
          ))}
        </ul>
      )}
      <div className="flex h-14">
        {pages.slice(0, IN_BAR).map(({ to, label, icon: Icon }) => (
          <Link
            key={to}
            to={to}
            activeOptions={{ exact: to === '/', includeSearch: false }}
            className={`relative ${touch}`}
          >
            <Icon size={19} aria-hidden />
            {label}
            {to === '/errors' && <OpenErrors className="absolute top-0.5 left-1/2 ml-1" />}
          </Link>
        ))}
        <button
          type="button"
          className={touch}
          aria-expanded={more}
          data-status={others.some(({ to }) => pathname.startsWith(to)) ? 'active' : undefined}
          onClick={() => setMore(!more)}
        >
          <Ellipsis size={19} aria-hidden />
          More
        </button>
      </div>
    </nav>
  )
}
