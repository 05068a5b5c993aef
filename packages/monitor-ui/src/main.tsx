import { FleetClient } from '@taskfleet/core/client'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import { forgetKey, keepKey, takeKey } from './live/kept-key.ts'
import { createRest } from './live/rest.ts'
import { createSessions } from './live/session.ts'
import './styles.css'

const key = takeKey(window)
// An address with another key pasted into this page: begin again with that one.
addEventListener('hashchange', () => {
  if (new URLSearchParams(location.hash.slice(1)).has('token')) {
    takeKey(window)
    location.reload()
  }
})

const url = location.origin
const sessionOf = createSessions({ url, onRefused: () => forgetKey(window) })

const connect = (given: string | undefined) =>
  new FleetClient({ url, ...(given !== undefined && { token: () => sessionOf(given).fresh() }) })

const rest = (given: string | undefined) =>
  createRest({ url, session: given === undefined ? undefined : sessionOf(given) })

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')
createRoot(root).render(
  <StrictMode>
    <App connect={connect} rest={rest} token={key} onToken={(entered) => keepKey(window, entered)} />
  </StrictMode>,
)
