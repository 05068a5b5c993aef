import { OPERATIONS, type QueueRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { partOf, RequestForm, request } from '../form/request-form.tsx'
import { Foreign } from './foreign.tsx'

const NO_LIMIT = { placeholder: 'no limit' }

export function QueueLimitsDialog({
  queue,
  settings,
  onClose,
}: {
  queue: string
  settings: QueueRow | undefined
  onClose: () => void
}) {
  const client = useFleetClient()
  const limit = request(partOf(OPERATIONS.queues.limit, 'limits'), async (limits) => {
    await client.queues.limit({ name: queue, limits })
    return `Changed the limits of ${queue}`
  })
  return (
    <RequestForm
      title="Limits of this queue"
      action="Save"
      request={limit}
      value={settings ?? {}}
      edits
      places={{
        concurrency: { label: 'Running at once', span: 6, ...NO_LIMIT },
        'rate.limit': { label: 'Starts', ...NO_LIMIT },
        'rate.per': { label: 'In a time of', placeholder: '1m' },
        maxWaiting: { label: 'Waiting', span: 6, placeholder: '1,000,000' },
      }}
      onClose={onClose}
    >
      <p className="sm:col-span-6">
        The limits of <Foreign text={queue} max={80} className="font-medium" /> apply to the whole fleet.
      </p>
    </RequestForm>
  )
}
