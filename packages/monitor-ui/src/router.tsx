import {
  createRootRoute,
  createRoute,
  createRouter,
  Link,
  lazyRouteComponent,
  type RouterHistory,
} from '@tanstack/react-router'
import { FleetPage } from './pages/fleet-page.tsx'
import { loadDialogs } from './shell/dialogs.tsx'
import { Layout } from './shell/layout.tsx'
import { parseErrorSearch, parseEventSearch, parseScheduleSearch } from './view/search.ts'
import { parseTaskSearch, writeTaskSearch } from './view/task-search.ts'

/** The fleet page is in the first script. Every other page is loaded from a file of its own. */
const pages = {
  audit: lazyRouteComponent(() => import('./pages/audit-page.tsx'), 'AuditPage'),
  coverage: lazyRouteComponent(() => import('./pages/coverage-page.tsx'), 'CoveragePage'),
  errors: lazyRouteComponent(() => import('./pages/errors-page.tsx'), 'ErrorsPage'),
  events: lazyRouteComponent(() => import('./pages/events-page.tsx'), 'EventsPage'),
  keys: lazyRouteComponent(() => import('./pages/keys-page.tsx'), 'KeysPage'),
  queues: lazyRouteComponent(() => import('./pages/queues-page.tsx'), 'QueuesPage'),
  schedules: lazyRouteComponent(() => import('./pages/schedules-page.tsx'), 'SchedulesPage'),
  task: lazyRouteComponent(() => import('./pages/task-page.tsx'), 'TaskPage'),
  tasks: lazyRouteComponent(() => import('./pages/tasks-page.tsx'), 'TasksPage'),
}

/** Loads the files of all pages and dialogs, so that the monitor can change between them while the gateway is away. */
export async function loadPages(): Promise<void> {
  await Promise.all([...Object.values(pages).map((page) => page.preload?.()), loadDialogs()])
}

const root = createRootRoute({
  component: Layout,
  notFoundComponent: () => (
    <div className="p-10 text-center">
      <p className="text-sm font-medium">There is no such page.</p>
      <Link to="/" className="text-run hover:underline">
        To the fleet
      </Link>
    </div>
  ),
})
const parent = { getParentRoute: () => root }
const fleet = createRoute({ ...parent, path: '/', component: FleetPage })
const tasks = createRoute({ ...parent, path: '/tasks', validateSearch: parseTaskSearch, component: pages.tasks })
const task = createRoute({ ...parent, path: '/tasks/$id', component: pages.task })
const errors = createRoute({ ...parent, path: '/errors', validateSearch: parseErrorSearch, component: pages.errors })
const coverage = createRoute({ ...parent, path: '/coverage', component: pages.coverage })
const queues = createRoute({ ...parent, path: '/queues', component: pages.queues })
const events = createRoute({ ...parent, path: '/events', validateSearch: parseEventSearch, component: pages.events })
const schedules = createRoute({
  ...parent,
  path: '/schedules',
  validateSearch: parseScheduleSearch,
  component: pages.schedules,
})
const audit = createRoute({ ...parent, path: '/audit', component: pages.audit })
const keys = createRoute({ ...parent, path: '/keys', component: pages.keys })
const routeTree = root.addChildren([fleet, tasks, task, errors, coverage, queues, events, schedules, audit, keys])

/** Plain parameters that people can read and write: `?status=running,failed&host=fra-1`. */
function stringifySearch(search: Record<string, unknown>): string {
  const plain = {
    ...parseEventSearch(search),
    ...writeTaskSearch(parseTaskSearch(search)),
    ...parseErrorSearch(search),
  }
  const written = new URLSearchParams(plain).toString().replaceAll('%2C', ',')
  return written === '' ? '' : `?${written}`
}

export function createMonitorRouter(options: { history?: RouterHistory; basepath?: string } = {}) {
  return createRouter({
    routeTree,
    ...options,
    parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
    stringifySearch,
  })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createMonitorRouter>
  }
}
