import { createRootRoute, createRoute, createRouter, Link, type RouterHistory } from '@tanstack/react-router'
import { AuditPage } from './pages/audit-page.tsx'
import { CoveragePage } from './pages/coverage-page.tsx'
import { ErrorsPage } from './pages/errors-page.tsx'
import { EventsPage } from './pages/events-page.tsx'
import { FleetPage } from './pages/fleet-page.tsx'
import { KeysPage } from './pages/keys-page.tsx'
import { QueuesPage } from './pages/queues-page.tsx'
import { SchedulesPage } from './pages/schedules-page.tsx'
import { TaskPage } from './pages/task-page.tsx'
import { TasksPage } from './pages/tasks-page.tsx'
import { Layout } from './shell/layout.tsx'
import { parseErrorSearch } from './view/error-search.ts'
import { parseEventSearch } from './view/event-search.ts'
import { parseScheduleSearch } from './view/schedule-search.ts'
import { parseTaskSearch, writeTaskSearch } from './view/task-search.ts'

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
const fleet = createRoute({ getParentRoute: () => root, path: '/', component: FleetPage })
const tasks = createRoute({
  getParentRoute: () => root,
  path: '/tasks',
  validateSearch: parseTaskSearch,
  component: TasksPage,
})
const task = createRoute({ getParentRoute: () => root, path: '/tasks/$id', component: TaskPage })
const errors = createRoute({
  getParentRoute: () => root,
  path: '/errors',
  validateSearch: parseErrorSearch,
  component: ErrorsPage,
})
const coverage = createRoute({ getParentRoute: () => root, path: '/coverage', component: CoveragePage })
const queues = createRoute({ getParentRoute: () => root, path: '/queues', component: QueuesPage })
const events = createRoute({
  getParentRoute: () => root,
  path: '/events',
  validateSearch: parseEventSearch,
  component: EventsPage,
})
const schedules = createRoute({
  getParentRoute: () => root,
  path: '/schedules',
  validateSearch: parseScheduleSearch,
  component: SchedulesPage,
})
const audit = createRoute({ getParentRoute: () => root, path: '/audit', component: AuditPage })
const keys = createRoute({ getParentRoute: () => root, path: '/keys', component: KeysPage })
const routeTree = root.addChildren([fleet, tasks, task, errors, coverage, queues, events, schedules, audit, keys])

/** Plain parameters, so that people can read and write an address: `?status=running,failed&host=fra-1`. */
function stringifySearch(search: Record<string, unknown>): string {
  const plain = {
    ...parseEventSearch(search),
    ...writeTaskSearch(parseTaskSearch(search)),
    ...parseErrorSearch(search),
  }
  const written = new URLSearchParams(plain).toString().replaceAll('%2C', ',')
  return written === '' ? '' : `?${written}`
}

export function createMonitorRouter(options: { history?: RouterHistory } = {}) {
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
