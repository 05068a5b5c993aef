import { afterIds, type TaskChanges, type TaskRow } from '@taskfleet/protocol'
import { type AfterForm, afterError, afterIdsIn } from './after-form.ts'
import { type Errors, found, jsonError, queueError, timeError } from './checks.ts'
import { localTime } from './format.ts'
import { editableJson } from './text.ts'

/** What the form holds, all as it was typed. Times are local, without a zone. */
export interface EditForm extends AfterForm {
  priority: string
  position: '' | 'front' | 'back'
  runAt: string
  deadline: string
  queue: string
  lazy: boolean
  input: string
}
export type EditField = keyof EditForm

export function editForm(task: TaskRow): EditForm {
  return {
    priority: String(task.basePriority ?? task.priority),
    position: '',
    runAt: localTime(task.runAt),
    deadline: task.deadline === undefined ? '' : localTime(task.deadline),
    queue: task.queue,
    lazy: task.lazy,
    input: editableJson(task.input ?? null),
    after: afterIds(task).join(' '),
    ifFailed: task.ifFailed ?? 'fail',
  }
}

/** The fields that somebody has changed. */
export function editedFields(form: EditForm, before: EditForm): EditField[] {
  return (Object.keys(form) as EditField[]).filter((field) => form[field] !== before[field])
}

export function editErrors(form: EditForm, edited: readonly EditField[]): Errors<EditForm> {
  const checks: Errors<EditForm> = found<EditForm>({
    runAt: form.runAt === '' ? 'Not a date and time.' : timeError(form.runAt),
    deadline: timeError(form.deadline),
    queue: form.queue.trim() === '' ? 'A task is always in some queue.' : queueError(form.queue),
    after: afterError(form.after),
    input: jsonError(form.input),
  })
  return Object.fromEntries(Object.entries(checks).filter(([field]) => edited.includes(field as EditField)))
}

/** Only what was edited: others may have changed the rest meanwhile. */
export function editChanges(form: EditForm, edited: readonly EditField[]): TaskChanges {
  const changes: TaskChanges = {}
  for (const field of edited) {
    switch (field) {
      case 'priority':
        changes.priority = Number(form.priority)
        break
      case 'position':
        if (form.position !== '') changes.position = form.position
        break
      case 'runAt':
        changes.runAt = new Date(form.runAt).toISOString()
        break
      case 'deadline':
        changes.deadline = form.deadline === '' ? null : new Date(form.deadline).toISOString()
        break
      case 'queue':
        changes.queue = form.queue.trim()
        break
      case 'lazy':
        changes.lazy = form.lazy
        break
      case 'input':
        changes.input = JSON.parse(form.input)
        break
      case 'after': {
        const ids = afterIdsIn(form.after)
        changes.after = ids.length === 0 ? null : ids
        break
      }
      case 'ifFailed':
        changes.ifFailed = form.ifFailed
        break
    }
  }
  return changes
}

/** The form over a newer state of the task: what was edited stays, all else is as it is now. */
export function rebaseForm(form: EditForm, edited: readonly EditField[], now: EditForm): EditForm {
  const mine = Object.fromEntries(edited.map((field) => [field, form[field]]))
  return { ...now, ...mine }
}
