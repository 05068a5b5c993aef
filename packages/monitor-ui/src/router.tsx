import {
  createRootRoute,
  createRoute,
  createRouter,
  Link,
  lazyRouteComponent,
  type RouterHistory,
  redirect,
  retainSearchParams,
} from '@tanstack/react-router'
import { NowPage } from './pages/now-page.tsx'
import { loadDialogs } from './shell/dialogs.tsx'
import { Layout } from './shell/layout.tsx'
import { parseRangeSearch } from './view/range.ts'
import {
  parseDownloadSearch,
  parseErrorSearch,
  parseEventSearch,
  parseHistorySearch,
  parseLineSearch,
  parseNowSearch,
  parseScheduleSearch,
} from './view/search.ts'
import { parseTaskSearch, writeTaskSearch } from './view/task-search.ts'

/** The page *Now* is in the first script. Every other page is loaded from a file of its own. */
const pages = {
  downloads: lazyRouteComponent(() => import('./pages/downloads-page.tsx'), 'DownloadsPage'),
  handlers: lazyRouteComponent(() => import('./pages/handlers-page.tsx'), 'HandlersPage'),
  error: lazyRouteComponent(() => import('./pages/error-page.tsx'), 'ErrorPage'),
  errors: lazyRouteComponent(() => import('./pages/errors-page.tsx'), 'ErrorsPage'),
  events: lazyRouteComponent(() => import('./pages/events-page.tsx'), 'EventsPage'),
  history: lazyRouteComponent(() => import('./pages/history-page.tsx'), 'HistoryPage'),
  host: lazyRouteComponent(() => import('./pages/host-page.tsx'), 'HostPage'),
  hosts: lazyRouteComponent(() => import('./pages/hosts-page.tsx'), 'HostsPage'),
  operation: lazyRouteComponent(() => import('./pages/operations-page.tsx'), 'OperationPage'),
  operations: lazyRouteComponent(() => import('./pages/operations-page.tsx'), 'OperationsPage'),
  queue: lazyRouteComponent(() => import('./pages/queue-page.tsx'), 'QueuePage'),
  queues: lazyRouteComponent(() => import('./pages/queues-page.tsx'), 'QueuesPage'),
  settings: lazyRouteComponent(() => import('./pages/settings-page.tsx'), 'SettingsPage'),
  schedules: lazyRouteComponent(() => import('./pages/schedules-page.tsx'), 'SchedulesPage'),
  task: lazyRouteComponent(() => import('./pages/task-page.tsx'), 'TaskPage'),
  tasks: lazyRouteComponent(() => import('./pages/tasks-page.tsx'), 'TasksPage'),
}

/** Loads the files of all pages and dialogs, so that the monitor can change between them while the gateway is away. */
export async function loadPages(): Promise<void> {
  await Promise.all([...Object.values(pages).map((page) => page.preload?.()), loadDialogs()])
}

const root = createRootRoute({
  validateSearch: parseRangeSearch,
  // Every link keeps the range.
  search: { middlewares: [retainSearchParams(['range'])] },
  component: Layout,
  notFoundComponent: () => (
    <div className="p-10 text-center">
      <p className="text-sm font-medium">There is no such page.</p>
      <Link to="/" className="text-run hover:underline">
        To Now
      </Link>
    </div>
  ),
})
const parent = { getParentRoute: () => root }
const now = createRoute({ ...parent, path: '/', validateSearch: parseNowSearch, component: NowPage })
const tasks = createRoute({ ...parent, path: '/tasks', validateSearch: parseTaskSearch, component: pages.tasks })
const task = createRoute({ ...parent, path: '/tasks/$id', validateSearch: parseLineSearch, component: pages.task })
const errors = createRoute({ ...parent, path: '/errors', validateSearch: parseErrorSearch, component: pages.errors })
const error = createRoute({ ...parent, path: '/errors/$fingerprint', component: pages.error })
const downloads = createRoute({
  ...parent,
  path: '/downloads',
  validateSearch: parseDownloadSearch,
  component: pages.downloads,
})
const handlers = createRoute({ ...parent, path: '/handlers', component: pages.handlers })
const queues = createRoute({ ...parent, path: '/queues', component: pages.queues })
const queue = createRoute({ ...parent, path: '/queues/$queue', component: pages.queue })
const hosts = createRoute({ ...parent, path: '/hosts', component: pages.hosts })
const host = createRoute({ ...parent, path: '/hosts/$host', component: pages.host })
const events = createRoute({ ...parent, path: '/events', validateSearch: parseEventSearch, component: pages.events })
const schedules = createRoute({
  ...parent,
  path: '/schedules',
  validateSearch: parseScheduleSearch,
  component: pages.schedules,
})
const history = createRoute({
  ...parent,
  path: '/history',
  validateSearch: parseHistorySearch,
  component: pages.history,
})
const operations = createRoute({ ...parent, path: '/operations', component: pages.operations })
const operation = createRoute({ ...parent, path: '/operations/$id', component: pages.operation })
const settings = createRoute({ ...parent, path: '/settings', component: pages.settings })
/** Where pages were before: addresses that people have kept still lead somewhere. */
const moved = (path: string, to: string) =>
  createRoute({
    ...parent,
    path,
    beforeLoad: () => {
      throw redirect({ to, replace: true })
    },
  })
const routeTree = root.addChildren([
  ...[now, tasks, task, errors, error, handlers, queues, queue, hosts, host, events, schedules, history, settings],
  ...[operations, operation, downloads],
  ...[moved('/coverage', '/handlers'), moved('/audit', '/history'), moved('/keys', '/settings')],
])

/** Plain parameters that people can read and write: `?status=running,failed&host=fra-1`. */
function stringifySearch(search: Record<string, unknown>): string {
  const plain = {
    ...parseEventSearch(search),
    ...writeTaskSearch(parseTaskSearch(search)),
    ...parseErrorSearch(search),
    ...parseHistorySearch(search),
    ...parseLineSearch(search),
    ...parseRangeSearch(search),
    ...parseNowSearch(search),
    ...parseDownloadSearch(search),
  }
  const written = new URLSearchParams(plain).toString().replace(/%2C|%3A|%2F|%7E/g, decodeURIComponent)
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
