import type { TaskRow } from '@taskfleet/core/protocol'
import { useRef, useState } from 'react'
import { useFleet } from '../live/hooks.ts'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'
import {
  type EditField,
  type EditForm,
  editChanges,
  editErrors,
  editedFields,
  editForm,
  rebaseForm,
} from '../view/edit-task.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'
import { Dialog } from './dialog.tsx'
import { Field } from './field.tsx'
import { Foreign } from './foreign.tsx'
import { Problem } from './notes.tsx'
import { PriorityOptions } from './priority-options.tsx'

const LABELS: Record<EditField, string> = {
  priority: 'Priority',
  position: 'Position',
  runAt: 'Run at',
  deadline: 'Deadline',
  queue: 'Queue',
  lazy: 'Lazy',
  input: 'Input',
}

/**
 * Changes a task that waits. It is sent with the revision that the form began with, so that nobody's work is undone
 * unseen.
 *
 * @param task its live row, which may move on while the form is open
 */
export function EditDialog({ task, onClose }: { task: TaskRow; onClose: () => void }) {
  const store = useFleet()
  const toast = useUi((ui) => ui.toast)
  const [base, setBase] = useState({ rev: task.rev, form: editForm(task) })
  const [form, setForm] = useState(base.form)
  const [errors, setErrors] = useState<Partial<Record<EditField, string>>>({})
  const [problem, setProblem] = useState<string>()
  const [conflict, setConflict] = useState(false)
  const [busy, setBusy] = useState(false)
  const element = useRef<HTMLFormElement>(null)
  const edited = editedFields(form, base.form)

  const set = <F extends EditField>(field: F, value: EditForm[F]) => {
    setForm((before) => ({ ...before, [field]: value }))
    setErrors(({ [field]: _, ...rest }) => rest)
  }
  const show = (found: Partial<Record<EditField, string>>) => {
    setErrors(found)
    const [first] = Object.keys(found)
    if (first !== undefined) element.current?.querySelector<HTMLElement>(`[name="${first}"]`)?.focus()
  }
  const rebase = (keep: boolean) => {
    const now = editForm(task)
    setBase({ rev: task.rev, form: now })
    setForm(keep ? rebaseForm(form, edited, now) : now)
    setConflict(false)
    setErrors({})
  }

  const save = async () => {
    const found = editErrors(form, edited)
    if (Object.keys(found).length > 0) return show(found)
    setBusy(true)
    setProblem(undefined)
    setConflict(false)
    try {
      await store.api.edit({ id: task._id, rev: base.rev, changes: editChanges(form, edited) })
      toast({ kind: 'good', text: `Changed ${taskTitle(task)}` })
      onClose()
    } catch (thrown) {
      const { code, field, message } = wireError(thrown)
      const mine = (Object.keys(LABELS) as EditField[]).find(
        (known) => known === field?.replace(/^changes\./, '').split('.')[0],
      )
      if (code === 'REV_CONFLICT') setConflict(true)
      else if (mine !== undefined) show({ [mine]: message })
      else setProblem(message)
    } finally {
      setBusy(false)
    }
  }

  const field = { errors }
  return (
    <Dialog title="Edit this task" onClose={onClose}>
      <form
        ref={element}
        noValidate
        className="grid grid-cols-1 gap-3 sm:grid-cols-6"
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy && edited.length > 0) void save()
        }}
      >
        <p className="sm:col-span-6">
          <Foreign text={taskTitle(task)} className="font-medium" />{' '}
          <span className="text-dim">waits; what is changed here holds from its next start.</span>
        </p>
        <Field {...field} name="priority" label={LABELS.priority} className="sm:col-span-2">
          {(props) => (
            <select
              {...props}
              className="field w-full"
              value={form.priority}
              onChange={(event) => set('priority', event.target.value)}
            >
              <PriorityOptions />
            </select>
          )}
        </Field>
        <Field {...field} name="position" label={LABELS.position} className="sm:col-span-2">
          {(props) => (
            <select
              {...props}
              className="field w-full"
              value={form.position}
              onChange={(event) => set('position', event.target.value as EditForm['position'])}
            >
              <option value="">As it is</option>
              <option value="front">To the front</option>
              <option value="back">To the back</option>
            </select>
          )}
        </Field>
        <Field {...field} name="queue" label={LABELS.queue} className="sm:col-span-2">
          {(props) => (
            <input
              {...props}
              className="field w-full"
              autoComplete="off"
              spellCheck={false}
              value={form.queue}
              onChange={(event) => set('queue', event.target.value)}
            />
          )}
        </Field>
        <Field {...field} name="runAt" label={LABELS.runAt} hint="your local time" className="sm:col-span-3">
          {(props) => (
            <input
              {...props}
              type="datetime-local"
              step="1"
              className="field w-full"
              value={form.runAt}
              onChange={(event) => set('runAt', event.target.value)}
            />
          )}
        </Field>
        <Field {...field} name="deadline" label={LABELS.deadline} hint="none if empty" className="sm:col-span-3">
          {(props) => (
            <input
              {...props}
              type="datetime-local"
              step="1"
              className="field w-full"
              value={form.deadline}
              onChange={(event) => set('deadline', event.target.value)}
            />
          )}
        </Field>
        <label className="flex items-center gap-2 sm:col-span-6">
          <input
            type="checkbox"
            name="lazy"
            checked={form.lazy}
            onChange={(event) => set('lazy', event.target.checked)}
          />
          <span className="font-medium">Lazy</span>
          <span className="text-xs text-dim">runs only while a host is not overloaded</span>
        </label>
        <Field {...field} name="input" label="Input (JSON)" className="sm:col-span-6">
          {(props) => (
            <textarea
              {...props}
              rows={7}
              spellCheck={false}
              className="field w-full font-mono text-xs"
              value={form.input}
              onChange={(event) => set('input', event.target.value)}
            />
          )}
        </Field>
        {conflict && (
          <Conflict
            others={editedFields(editForm(task), base.form)}
            mine={edited}
            seen={task.rev !== base.rev}
            onKeep={() => rebase(true)}
            onDrop={() => rebase(false)}
          />
        )}
        <Problem text={problem} className="sm:col-span-6" />
        <div className="flex flex-wrap justify-end gap-2 pt-1 sm:col-span-6">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button button-solid" disabled={busy || edited.length === 0 || conflict}>
            Save
          </button>
        </div>
      </form>
    </Dialog>
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
