import type { QueueRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useUi } from '../shell/ui-context.ts'
import {
  type QueueLimitsForm,
  queueLimitsErrors,
  queueLimitsForm,
  queueLimitsRequest,
} from '../view/queue-limits-form.ts'
import { Foreign } from './foreign.tsx'
import { FormDialog } from './form-dialog.tsx'
import { TextField } from './form-fields.tsx'
import { useForm } from './use-form.ts'

interface Props {
  queue: string
  said: QueueRow | undefined
  onClose: () => void
}

const FIELDS: { name: keyof QueueLimitsForm; label: string; hint: string; placeholder: string }[] = [
  { name: 'concurrency', label: 'Running at once', hint: 'in the whole fleet', placeholder: 'no limit' },
  { name: 'rate', label: 'Starts in a time', hint: 'such as 100/1m, in the whole fleet', placeholder: 'no limit' },
  { name: 'maxWaiting', label: 'Waiting', hint: 'more are refused', placeholder: '1,000,000' },
]

export function QueueLimitsDialog({ queue, said, onClose }: Props) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const state = useForm(queueLimitsForm(said), queueLimitsErrors, async (filled) => {
    await client.queues.limit({ name: queue, limits: queueLimitsRequest(filled) })
    toast({ kind: 'good', text: `The queue ${queue} has these limits now` })
    onClose()
  })
  return (
    <FormDialog {...state} title="Limits of this queue" action="Save" onClose={onClose}>
      <p className="sm:col-span-6">
        How many tasks of <Foreign text={queue} max={80} className="font-medium" /> there may be.
      </p>
      {FIELDS.map((field, index) => (
        <TextField key={field.name} {...state} {...field} first={index === 0} className="sm:col-span-6" />
      ))}
    </FormDialog>
  )
}
