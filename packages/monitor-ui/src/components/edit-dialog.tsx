import type { TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'
import { type EditField, editChanges, editErrors, editedFields, editForm, rebaseForm } from '../view/edit-task.ts'
import { formField } from '../view/event-form.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'
import { AfterFields } from './after-fields.tsx'
import { Foreign } from './foreign.tsx'
import { FormDialog } from './form-dialog.tsx'
import { JsonField, LazyField, PriorityField, SelectField, TextField } from './form-fields.tsx'
import { useForm } from './use-form.ts'

const LABELS: Record<EditField, string> = {
  priority: 'Priority',
  position: 'Position',
  runAt: 'Run at',
  deadline: 'Deadline',
  queue: 'Queue',
  lazy: 'Lazy',
  input: 'Input',
  after: 'Runs after',
  ifFailed: 'If one fails',
}

/**
 * Changes a task that waits. It is sent with the revision that the form began with, so that nobody's work is undone
 * unseen.
 *
 * @param task its live row, which may move on while the form is open
 */
export function EditDialog({ task, onClose }: { task: TaskRow; onClose: () => void }) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const [base, setBase] = useState({ rev: task.rev, form: editForm(task) })
  const [conflict, setConflict] = useState(false)
  const state = useForm(
    base.form,
    (filled) => editErrors(filled, editedFields(filled, base.form)),
    async (filled) => {
      const changes = editChanges(filled, editedFields(filled, base.form))
      try {
        await client.tasks.edit({ id: task._id, rev: base.rev, changes })
      } catch (thrown) {
        if (wireError(thrown).code !== 'REV_CONFLICT') throw thrown
        return setConflict(true)
      }
      toast({ kind: 'good', text: `Changed ${taskTitle(task)}` })
      onClose()
    },
    (path, filled) => formField(path?.replace(/^changes\./, ''), filled),
  )
  const edited = editedFields(state.form, base.form)
  const rebase = (keep: boolean) => {
    const now = editForm(task)
    setBase({ rev: task.rev, form: now })
    state.reset(keep ? rebaseForm(state.form, edited, now) : now)
    setConflict(false)
  }

  return (
    <FormDialog
      {...state}
      busy={state.busy || edited.length === 0 || conflict}
      title="Edit this task"
      action="Save"
      onClose={onClose}
    >
      <p className="sm:col-span-6">
        <Foreign text={taskTitle(task)} className="font-medium" />{' '}
        <span className="text-dim">waits; what is changed here holds from its next start.</span>
      </p>
      <PriorityField {...state} className="sm:col-span-2" />
      <SelectField {...state} name="position" label={LABELS.position} className="sm:col-span-2">
        <option value="">As it is</option>
        <option value="front">To the front</option>
        <option value="back">To the back</option>
      </SelectField>
      <TextField {...state} name="queue" label={LABELS.queue} className="sm:col-span-2" />
      <TextField
        {...state}
        name="runAt"
        label={LABELS.runAt}
        hint="your local time"
        type="datetime-local"
        className="sm:col-span-3"
      />
      <TextField
        {...state}
        name="deadline"
        label={LABELS.deadline}
        hint="none if empty"
        type="datetime-local"
        className="sm:col-span-3"
      />
      <LazyField {...state}>
        <span className="font-medium">Lazy</span>
        <span className="text-xs text-dim">runs only while a host is not overloaded</span>
      </LazyField>
      <AfterFields {...state} />
      <JsonField {...state} name="input" label="Input (JSON)" rows={7} />
      {conflict && (
        <Conflict
          others={editedFields(editForm(task), base.form)}
          mine={edited}
          seen={task.rev !== base.rev}
          onKeep={() => rebase(true)}
          onDrop={() => rebase(false)}
        />
      )}
    </FormDialog>
  )
}

/** Somebody else was faster: says what they changed, and lets choose. */
function Conflict({
  others,
  mine,
  seen,
  onKeep,
  onDrop,
}: {
  others: readonly EditField[]
  mine: readonly EditField[]
  /** Whether the newer state has reached this page. */
  seen: boolean
  onKeep: () => void
  onDrop: () => void
}) {
  const list = (fields: readonly EditField[]) => visibleLine(fields.map((field) => LABELS[field]).join(', '), 120)
  return (
    <div role="alert" className="rounded-md bg-warn/15 px-3 py-2.5 sm:col-span-6" data-testid="edit-conflict">
      <p className="font-medium text-warn">The task has changed since this form was opened. Nothing was saved.</p>
      <p className="mt-0.5">
        {others.length === 0 ? 'Its state has moved on.' : `Changed meanwhile: ${list(others)}.`} Edited here:{' '}
        {list(mine)}.
      </p>
      <div className="mt-2 flex flex-wrap gap-2">
        <button type="button" className="button" disabled={!seen} onClick={onKeep}>
          Keep my edits on top
        </button>
        <button type="button" className="button" disabled={!seen} onClick={onDrop}>
          Begin again from how it is
        </button>
      </div>
    </div>
  )
}
