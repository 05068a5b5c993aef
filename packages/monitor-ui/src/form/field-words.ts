import type { ReactNode } from 'react'
import { priorityName } from '../view/priority.ts'

/** How a form draws a field, beyond its schema. */
export interface Place {
  label?: string
  /** In place of the schema's description. */
  hint?: string
  placeholder?: string
  /** Columns of six. */
  span?: 2 | 3 | 4 | 6
  /** Labels of the choices. */
  words?: Readonly<Record<string, string>>
  /** Known names, as suggestions. */
  names?: readonly string[]
  rows?: number
  mono?: boolean
  before?: ReactNode
  after?: ReactNode
}

const LEVELS = [10, 8, 5, 2]

/** Fields with the same meaning in every form, by their last name. */
const WORDS: Record<string, Place> = {
  _id: { label: 'Name' },
  task: { label: 'Run this task', span: 4 },
  version: { placeholder: '1', hint: '', span: 2 },
  input: { label: 'Input (JSON)' },
  props: { label: 'Props (JSON)' },
  priority: {
    hint: '',
    placeholder: 'Default',
    words: Object.fromEntries(LEVELS.map((level) => [level, `${level} · ${priorityName(level)}`])),
  },
  position: { placeholder: 'Unchanged', words: { front: 'To the front', back: 'To the back' } },
  queue: { placeholder: 'default' },
  lazy: { hint: 'Runs only while the host is not overloaded' },
  maxAttempts: { label: 'Attempts', placeholder: 'default' },
  after: { label: 'Runs after', hint: 'Ids of up to 100 tasks', span: 6, mono: true },
  ifFailed: {
    label: 'If one of them fails',
    hint: '',
    placeholder: 'This one fails',
    words: {
      fail: 'This one fails',
      cancel: 'This one is cancelled',
      run: 'This one runs anyway',
      wait: 'This one waits for its retry',
    },
  },
  deadlineAfter: { label: 'Deadline', hint: 'After the scheduled time, such as 2h', placeholder: 'none' },
  timeout: { label: 'Time limit of an attempt' },
  totalTimeout: { label: 'Time limit of the task' },
  stall: { label: 'Stalled after' },
  kind: { label: 'Delay between attempts', words: { fixed: 'Always the same', exponential: 'Grows' } },
  base: { label: 'First delay', hint: 'Such as 5s' },
  factor: { label: 'Delay grows by' },
  cap: { label: 'Longest delay', hint: 'Such as 10m' },
  jitter: { label: 'Spread the delays', hint: '' },
  decay: { label: 'Demote after failures', hint: 'Each failure lowers the priority by one' },
  counts: {
    label: 'Failures that count',
    hint: '',
    words: { every: 'All', 'without-progress': 'Only those without progress' },
  },
  missed: {
    label: 'Missed times',
    hint: '',
    placeholder: 'Run the last one',
    words: { latest: 'Run the last one', skip: 'Skip them', all: 'Run each, up to 100' },
  },
  overlap: {
    label: 'While the last task runs',
    hint: '',
    placeholder: 'Run anyway',
    words: { allow: 'Run anyway', skip: 'Skip the time' },
  },
  names: { label: 'Tasks named' },
}

/** `maxWaiting` is "Max waiting". */
function labelOf(name: string): string {
  const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
  return words.charAt(0).toUpperCase() + words.slice(1)
}

export function placeOf(path: string, place: Place = {}): Place & { label: string } {
  const name = path.slice(path.lastIndexOf('.') + 1)
  return { label: labelOf(name), ...WORDS[name], ...place }
}
