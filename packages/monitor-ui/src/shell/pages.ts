import {
  Bug,
  CalendarClock,
  Download,
  History,
  House,
  Layers,
  List,
  type LucideIcon,
  Puzzle,
  Server,
  Settings,
  Zap,
} from 'lucide-react'

interface Page {
  to:
    | '/'
    | '/tasks'
    | '/errors'
    | '/queues'
    | '/downloads'
    | '/hosts'
    | '/handlers'
    | '/schedules'
    | '/events'
    | '/history'
    | '/settings'
  label: string
  icon: LucideIcon
  /** `g` and this key open it. */
  key: string
}

/** In the navigation of fleets that have downloads; everybody else can search for it. */
export const DOWNLOADS = '/downloads'

/** The pages in the order of the navigation. On phones the first four are in the bar, the others behind *More*. */
export const PAGES: readonly Page[] = [
  { to: '/', label: 'Now', icon: House, key: 'n' },
  { to: '/tasks', label: 'Tasks', icon: List, key: 't' },
  { to: '/errors', label: 'Errors', icon: Bug, key: 'e' },
  { to: '/queues', label: 'Queues', icon: Layers, key: 'q' },
  { to: '/hosts', label: 'Hosts', icon: Server, key: 'h' },
  { to: '/handlers', label: 'Handlers', icon: Puzzle, key: 'l' },
  { to: DOWNLOADS, label: 'Downloads', icon: Download, key: 'd' },
  { to: '/schedules', label: 'Schedules', icon: CalendarClock, key: 's' },
  { to: '/events', label: 'Events', icon: Zap, key: 'v' },
  { to: '/history', label: 'History', icon: History, key: 'a' },
  { to: '/settings', label: 'Settings', icon: Settings, key: 'k' },
]
export const IN_BAR = 4
