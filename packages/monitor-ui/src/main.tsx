import { FleetClient } from '@taskfleet/client'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import { forgetKey, keepKey, takeKey } from './live/kept-key.ts'
import { createSessions } from './live/session.ts'
import { loadPages } from './router.tsx'
import './styles.css'

/** How long after the first page the others are loaded. */
const LATER_MS = 1_000

const key = takeKey(window)
// The user has pasted an address with another key: start again with that key.
addEventListener('hashchange', () => {
  if (new URLSearchParams(location.hash.slice(1)).has('token')) {
    takeKey(window)
    location.reload()
  }
})

// The path under which the gateway serves this page, from its `<base>`.
const url = new URL('.', document.baseURI).href.replace(/\/$/, '')
const sessionOf = createSessions({ onRefused: () => forgetKey(window) })

const connect = (given: string | undefined) =>
  new FleetClient({ url, ...(given !== undefined && { token: (gateway: string) => sessionOf(given).fresh(gateway) }) })

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')
createRoot(root).render(
  <StrictMode>
    <App
      basePath={new URL(url).pathname}
      connect={connect}
      token={key}
      onToken={(entered) => keepKey(window, entered)}
    />
  </StrictMode>,
)
// After everything that the first page needs. A file that fails to load now is loaded when its page is opened.
addEventListener('load', () => setTimeout(() => loadPages().catch(() => undefined), LATER_MS))
