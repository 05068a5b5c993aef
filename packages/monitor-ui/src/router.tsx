import { createRootRoute, createRoute, createRouter, Link, type RouterHistory } from '@tanstack/react-router'
import { FleetPage } from './pages/fleet-page.tsx'
import { TaskPage } from './pages/task-page.tsx'
import { TasksPage } from './pages/tasks-page.tsx'
import { Layout } from './shell/layout.tsx'
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
const routeTree = root.addChildren([fleet, tasks, task])

/** Plain parameters, so that people can read and write an address: `?status=running,failed&host=fra-1`. */
function stringifySearch(search: Record<string, unknown>): string {
  const written = new URLSearchParams(writeTaskSearch(parseTaskSearch(search))).toString().replaceAll('%2C', ',')
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
