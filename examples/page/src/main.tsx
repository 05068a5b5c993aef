import { FleetClient } from '@taskfleet/client'
import { FleetProvider, useLiveQuery, useTask } from '@taskfleet/react'
import { createRoot } from 'react-dom/client'

function RunningTasks() {
  const { rows, live, error } = useLiveQuery({ filter: { status: 'running' }, sort: { claimedAt: 1 }, limit: 15 })
  if (error !== undefined) return <p role="alert">{error.message}</p>
  return (
    <ul aria-busy={!live}>
      {rows.map((task) => (
        <RunningTask key={task._id} id={task._id} />
      ))}
    </ul>
  )
}

function RunningTask({ id }: { id: string }) {
  const { task, progress, cancel } = useTask(id)
  return (
    <li>
      {task?.name} <progress value={progress?.ratio} /> {progress?.message}{' '}
      <button type="button" onClick={() => cancel('from the page')}>
        Cancel
      </button>
    </li>
  )
}

// The key comes behind the address's `#`, which browsers never send: http://…/#token=tf_…
const token = new URLSearchParams(location.hash.slice(1)).get('token')
// By the relay: a worker's own socket takes connections from the fleet's own pages only.
const client = new FleetClient({ reach: 'relay', ...(token === null ? {} : { token }) })

createRoot(document.getElementById('page') as HTMLElement).render(
  <FleetProvider client={client}>
    <RunningTasks />
  </FleetProvider>,
)
