import { describe, expect, it } from 'vitest'
import { aTask } from '../testing/rows.ts'
import { editChanges, editErrors, editedFields, editForm, rebaseForm } from './edit-task.ts'
import { localTime } from './format.ts'

const task = aTask.pending({ input: { file: 'a.iso' }, deadline: '2026-01-05T13:00:00.000Z', priority: 3 })
const before = editForm(task)

describe('the form that edits a task', () => {
  it('asks for the priority that was wished for, not for the present one', () => {
    expect(before).toMatchObject({ priority: '5', queue: 'default', lazy: false, position: '' })
    expect(editedFields(before, before)).toEqual([])
  })

  it('sends only what was edited', () => {
    const after = { ...before, priority: '8', position: 'front' as const, runAt: '2026-02-03T04:05:06', deadline: '' }
    expect(editChanges(after, editedFields(after, before))).toEqual({
      priority: 8,
      position: 'front',
      runAt: new Date('2026-02-03T04:05:06').toISOString(),
      deadline: null,
    })
    const more = { ...before, queue: ' bulk ', lazy: true, input: '[1]' }
    expect(editChanges(more, editedFields(more, before))).toEqual({ queue: 'bulk', lazy: true, input: [1] })
  })

  it('looks only at what was edited', () => {
    const wrong = { ...before, runAt: '', deadline: 'soon', queue: ' ', input: '{' }
    expect(Object.keys(editErrors(wrong, editedFields(wrong, before)))).toEqual(['runAt', 'deadline', 'queue', 'input'])
    expect(editErrors(wrong, [])).toEqual({})
  })

  it('keeps edits over a newer state, and takes the rest from that', () => {
    const mine = { ...before, queue: 'bulk' }
    const now = editForm({ ...task, basePriority: 9, queue: 'other' })
    expect(rebaseForm(mine, ['queue'], now)).toMatchObject({ queue: 'bulk', priority: '9' })
  })

  it('writes times as the field for them reads them', () => {
    expect(new Date(localTime(task.runAt)).toISOString()).toBe(task.runAt)
    expect(localTime('never')).toBe('')
  })
})
