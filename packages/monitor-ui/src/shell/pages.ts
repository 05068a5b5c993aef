import {
  Bug,
  CalendarClock,
  KeyRound,
  Layers,
  LayoutGrid,
  List,
  type LucideIcon,
  Puzzle,
  ScrollText,
  Zap,
} from 'lucide-react'

interface Page {
  to: '/' | '/tasks' | '/errors' | '/coverage' | '/queues' | '/events' | '/schedules' | '/audit' | '/keys'
  label: string
  icon: LucideIcon
  /** `g` and this key open it. */
  key: string
}

/** The pages in the order of the navigation. */
export const PAGES: readonly Page[] = [
  { to: '/', label: 'Fleet', icon: LayoutGrid, key: 'f' },
  { to: '/tasks', label: 'Tasks', icon: List, key: 't' },
  { to: '/errors', label: 'Errors', icon: Bug, key: 'e' },
  { to: '/coverage', label: 'Coverage', icon: Puzzle, key: 'c' },
  { to: '/queues', label: 'Queues', icon: Layers, key: 'q' },
  { to: '/events', label: 'Events', icon: Zap, key: 'v' },
  { to: '/schedules', label: 'Schedules', icon: CalendarClock, key: 's' },
  { to: '/audit', label: 'Audit', icon: ScrollText, key: 'a' },
  { to: '/keys', label: 'Keys', icon: KeyRound, key: 'k' },
]
