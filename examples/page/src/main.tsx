import { FleetClient } from '@taskfleet/client'
import { FleetBoard, FleetProvider, TaskList, TaskProgress } from '@taskfleet/react'
import { useState } from 'react'
import { createRoot } from 'react-dom/client'
import '@taskfleet/react/styles.css'

const WAITING = { filter: { status: { $in: ['pending', 'blocked', 'paused'] } }, sort: { _id: -1 }, limit: 10 } as const

function Page() {
  const [chosen, setChosen] = useState<string>()
  return (
    <>
      <h1>Our downloads</h1>
      <section className="card" aria-labelledby="chosen">
        <h2 id="chosen">Chosen</h2>
        {chosen === undefined ? <p>Click a task to follow it here.</p> : <TaskProgress task={chosen} />}
      </section>
      <FleetBoard onOpen={({ _id }) => setChosen(_id)} />
      <section className="card" aria-labelledby="waiting">
        <h2 id="waiting">Waiting</h2>
        <TaskList
          query={WAITING}
          columns={['task', 'state', 'progress', 'queue']}
          empty="Nothing waits."
          label="Waiting tasks"
          onOpen={({ _id }) => setChosen(_id)}
        />
      </section>
    </>
  )
}

// The key comes behind the address's `#`, which browsers never send: http://…/#token=tf_…
const token = new URLSearchParams(location.hash.slice(1)).get('token')
// By the relay: a worker's own socket takes connections from the fleet's own pages only.
const client = new FleetClient({ reach: 'relay', ...(token === null ? {} : { token }) })

createRoot(document.getElementById('page') as HTMLElement).render(
  <FleetProvider client={client}>
    <Page />
  </FleetProvider>,
)
