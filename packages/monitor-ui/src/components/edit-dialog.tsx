import { afterIds, OPERATIONS, type TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useState } from 'react'
import { placeOf } from '../form/field-words.ts'
import { changedFields, draftOf, type Field } from '../form/fields.ts'
import { partOf, RequestForm, request, useReading, useRequestForm } from '../form/request-form.tsx'
import { wireError } from '../live/wire-error.ts'
import { taskTitle } from '../view/task-title.ts'
import { Button } from './button.tsx'
import { Foreign } from './foreign.tsx'

const CHANGES = partOf(OPERATIONS.tasks.edit, 'changes')

/** The values that the form starts with. The priority is the requested one, not the current one. */
const editable = (task: TaskRow) => ({ ...task, priority: task.basePriority ?? task.priority, after: afterIds(task) })

/**
 * Changes a waiting task. The request has the revision that the form started with, so it cannot overwrite a newer change.
 *
 * @param task its live row, which may change while the form is open
 */
export function EditDialog({ task, onClose }: { task: TaskRow; onClose: () => void }) {
  const client = useFleetClient()
  const [base, setBase] = useState({ rev: task.rev, value: editable(task) })
  const [conflict, setConflict] = useState(false)
  const edit = request(CHANGES, async (changes) => {
    try {
      await client.tasks.edit({ id: task._id, rev: base.rev, changes })
    } catch (thrown) {
      if (wireError(thrown).code !== 'REV_CONFLICT') throw thrown
      setConflict(true)
      return 'stay'
    }
    return `Changed ${taskTitle(task)}`
  })
  return (
    <RequestForm
      title="Edit this task"
      action="Save"
      request={edit}
      value={base.value}
      edits
      blocked={conflict}
      places={{
        priority: { span: 2 },
        position: { span: 2 },
        queue: { span: 2 },
        runAt: {},
        deadline: { hint: 'None if empty' },
        lazy: {},
        after: {},
        ifFailed: {},
        input: { hint: '', rows: 7 },
      }}
      hide={['retry.maxAttempts']}
      note={
        conflict && (
          <Conflict
            base={base.value}
            now={editable(task)}
            seen={task.rev !== base.rev}
            onRebase={() => {
              setBase({ rev: task.rev, value: editable(task) })
              setConflict(false)
            }}
          />
        )
      }
      onClose={onClose}
    >
      <p className="sm:col-span-6">
        <Foreign text={taskTitle(task)} className="font-medium" />{' '}
        <span className="text-dim">is waiting. Changes take effect when it starts next.</span>
      </p>
    </RequestForm>
  )
}

interface ConflictProps {
  base: object
  now: object
  /** Whether the newer state has reached this page. */
  seen: boolean
  onRebase: () => void
}

/** Shows what others have changed since the form was opened, and offers to keep or discard the edits. */
function Conflict({ base, now, seen, onRebase }: ConflictProps) {
  const { form, fields } = useRequestForm()
  const { draft } = useReading()
  const [before, newer] = [draftOf(fields, base), draftOf(fields, now)]
  const mine = changedFields(fields, draft, before)
  const others = changedFields(fields, newer, before)
  const list = (changed: readonly Field[]) => changed.map(({ path }) => placeOf(path).label).join(', ')
  const rebase = (keep: boolean) => {
    form.reset(newer)
    if (keep) for (const { name } of mine) form.setValue(name, draft[name], { shouldDirty: true })
    onRebase()
  }
  return (
    <div role="alert" className="rounded-md bg-warn/15 px-3 py-2.5 text-sm text-text" data-testid="edit-conflict">
      <p className="font-medium text-warn">The task has changed since this form was opened. Nothing was saved.</p>
      <p className="mt-0.5">
        {others.length === 0 ? 'Its state has moved on.' : `Changed meanwhile: ${list(others)}.`} Edited here:{' '}
        {list(mine)}.
      </p>
      <div className="mt-2 flex flex-wrap gap-2">
        <Button disabled={!seen} onClick={() => rebase(true)}>
          Keep my edits
        </Button>
        <Button disabled={!seen} onClick={() => rebase(false)}>
          Discard my edits
        </Button>
      </div>
    </div>
  )
}
