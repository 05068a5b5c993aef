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

  it('names the tasks that it waits for, in any writing', () => {
    const [one, two] = ['6b0b89046bf645617ca3d5f3', '6b0b89046bf645617ca3d5f4']
    const waits = { ...before, after: `${one},\n ${two}`, ifFailed: 'wait' as const }
    expect(editChanges(waits, editedFields(waits, before))).toEqual({ after: [one, two], ifFailed: 'wait' })
    const blocked = editForm({ ...task, after: [one, two], ifFailed: 'run' })
    expect(blocked).toMatchObject({ after: `${one} ${two}`, ifFailed: 'run' })
    const free = { ...blocked, after: ' ' }
    expect(editChanges(free, editedFields(free, blocked))).toEqual({ after: null })
    const wrong = { ...before, after: `${one} download` }
    expect(editErrors(wrong, ['after'])).toEqual({ after: "'download' is no id: those have 24 hexadecimal digits." })
    const many = { ...before, after: Array.from({ length: 101 }, () => one).join() }
    expect(editErrors(many, ['after'])).toEqual({ after: 'At most 100 tasks.' })
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
