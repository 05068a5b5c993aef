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
// An address with another key pasted into this page: begin again with that one.
addEventListener('hashchange', () => {
  if (new URLSearchParams(location.hash.slice(1)).has('token')) {
    takeKey(window)
    location.reload()
  }
})

// Below which path the gateway serves this page, as its `<base>` says.
const url = new URL('.', document.baseURI).href.replace(/\/$/, '')
const sessionOf = createSessions({ url, onRefused: () => forgetKey(window) })

const connect = (given: string | undefined) =>
  new FleetClient({ url, ...(given !== undefined && { token: () => sessionOf(given).fresh() }) })

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
// Later than what the first page needs. One that doesn't load now is loaded when it is opened.
addEventListener('load', () => setTimeout(() => loadPages().catch(() => undefined), LATER_MS))
