import { createBrowserHistory } from '@tanstack/react-router'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import { createMonitorRouter } from './router.tsx'
import { startEvents } from './testing/demo-events.ts'
import { startSchedules } from './testing/demo-schedules.ts'
import { startDemo } from './testing/demo-script.ts'
import './styles.css'

// `?demo` keeps its place in the address only until the first page is opened.
if (location.pathname.endsWith('/demo.html')) history.replaceState(null, '', '/')
const fleet = startDemo()
const rest = startEvents(fleet)
startSchedules(fleet)
Object.assign(window, { fleet, rest })

const root = document.getElementById('root')
if (root === null) throw new Error('demo.html has no #root')
createRoot(root).render(
  <App
    connect={() => fleet}
    rest={() => rest}
    token={undefined}
    onToken={() => {}}
    router={createMonitorRouter({ history: createBrowserHistory() })}
  />,
)
