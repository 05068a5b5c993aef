import type { QueueRow } from '@taskfleet/core/protocol'
import { useRest } from '../live/rest.ts'
import { useUi } from '../shell/ui-context.ts'
import {
  type QueueLimitsForm,
  queueLimitsErrors,
  queueLimitsForm,
  queueLimitsRequest,
} from '../view/queue-limits-form.ts'
import { Dialog } from './dialog.tsx'
import { Field } from './field.tsx'
import { Foreign } from './foreign.tsx'
import { Problem } from './notes.tsx'
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
  const rest = useRest()
  const toast = useUi((ui) => ui.toast)
  const { form, errors, problem, busy, element, set, submit } = useForm(
    queueLimitsForm(said),
    queueLimitsErrors,
    async (filled) => {
      await rest.limitQueue(queue, queueLimitsRequest(filled))
      toast({ kind: 'good', text: `The queue ${queue} has these limits now` })
      onClose()
    },
  )
  return (
    <Dialog title="Limits of this queue" onClose={onClose}>
      <form
        ref={element}
        noValidate
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        <p>
          How many tasks of <Foreign text={queue} max={80} className="font-medium" /> there may be.
        </p>
        {FIELDS.map(({ name, label, hint, placeholder }, index) => (
          <Field key={name} name={name} label={label} hint={hint} errors={errors}>
            {(props) => (
              <input
                {...props}
                className="field w-full"
                autoComplete="off"
                spellCheck={false}
                data-autofocus={index === 0 || undefined}
                placeholder={placeholder}
                value={form[name]}
                onChange={(event) => set(name, event.target.value)}
              />
            )}
          </Field>
        ))}
        <Problem text={problem} />
        <div className="flex flex-wrap justify-end gap-2">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button button-solid" disabled={busy}>
            Save
          </button>
        </div>
      </form>
    </Dialog>
  )
}
