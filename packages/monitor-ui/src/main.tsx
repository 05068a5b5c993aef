import { FleetClient } from '@taskfleet/core/client'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import { createRest } from './live/rest.ts'
import { keepToken, takeToken } from './live/session.ts'
import './styles.css'

const token = takeToken(window)
// An address with another key pasted into this page: begin again with that one.
addEventListener('hashchange', () => {
  if (new URLSearchParams(location.hash.slice(1)).has('token')) {
    takeToken(window)
    location.reload()
  }
})

const connect = (key: string | undefined) =>
  new FleetClient({ url: location.origin, ...(key !== undefined && { token: key }) })

const rest = (key: string | undefined) => createRest({ url: location.origin, token: key })

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')
createRoot(root).render(
  <StrictMode>
    <App connect={connect} rest={rest} token={token} onToken={(entered) => keepToken(window, entered)} />
  </StrictMode>,
)
