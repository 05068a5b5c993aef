import { createBrowserHistory } from '@tanstack/react-router'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import { createMonitorRouter } from './router.tsx'
import { startDemo } from './testing/demo-script.ts'
import './styles.css'

// `?demo` keeps its place in the address only until the first page is opened.
if (location.pathname.endsWith('/demo.html')) history.replaceState(null, '', '/')
const fleet = startDemo()
Object.assign(window, { fleet })

const root = document.getElementById('root')
if (root === null) throw new Error('demo.html has no #root')
createRoot(root).render(
  <App
    connect={() => fleet}
    token={undefined}
    onToken={() => {}}
    router={createMonitorRouter({ history: createBrowserHistory() })}
  />,
)
