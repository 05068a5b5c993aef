import { OPERATIONS } from '@taskfleet/protocol'
import { describe, expect, it } from 'vitest'
import { localTime } from '../view/format.ts'
import { changedFields, type Draft, draftOf, fieldAt, fieldsIn, groupOf, readDraft } from './fields.ts'
import { partOf } from './request-form.tsx'

const [ONE, TWO] = ['6b0b89046bf645617ca3d5f3', '6b0b89046bf645617ca3d5f4']
const TASK = OPERATIONS.tasks.enqueue.request
const CHANGES = partOf(OPERATIONS.tasks.edit, 'changes')
const SCHEDULE = partOf(OPERATIONS.schedules.edit, 'changes')
const CALLBACK = partOf(OPERATIONS.callbacks.edit, 'changes')

/** What a new request is, from what is typed. */
function filled(schema: typeof TASK, typed: Draft) {
  const root = groupOf(schema)
  return readDraft({ schema, root, draft: { ...draftOf(fieldsIn(root), {}), ...typed } })
}

/** What an edit of a stored value is, from what is typed over it. */
function edited(schema: Parameters<typeof groupOf>[0], value: object, typed: Draft) {
  const root = groupOf(schema)
  const draft = draftOf(fieldsIn(root), value)
  return readDraft({ schema, root, draft: { ...draft, ...typed }, before: { value, draft } })
}

describe('the fields of a request', () => {
  const fields = fieldsIn(groupOf(TASK, ['_id']))
  const field = (path: string) => fields.find((one) => one.path === path)

  it('have the kind of their schema', () => {
    const kinds = ['name', 'version', 'input', 'lazy', 'position', 'runAt', 'timeout', 'after']
    expect(kinds.map((path) => field(path)?.kind)).toEqual([
      'text',
      'number',
      'json',
      'flag',
      'choice',
      'date',
      'duration',
      'list',
    ])
    expect(fieldsIn(groupOf(OPERATIONS.keys.create.request)).map(({ kind }) => kind)).toEqual([
      'text',
      'choices',
      'list',
      'list',
      'date',
    ])
    expect(field('_id')).toBeUndefined()
  })

  it('offer the levels of a number with names, and the handler’s default', () => {
    expect(field('priority')).toMatchObject({
      kind: 'choice',
      options: ['10', '9', '8', '7', '6', '5', '4', '3', '2', '1'],
    })
    expect(field('retry.backoff.jitter')).toMatchObject({ kind: 'choice', options: ['true', 'false'] })
  })

  it('are found by the path of a refusal', () => {
    const found = (path?: string) => fieldAt(fields, path)?.path
    expect(['input.url', 'changes.queue', 'after.0', 'deadlines', undefined].map(found)).toEqual([
      'input',
      'queue',
      'after',
      undefined,
      undefined,
    ])
    const inCallback = fieldsIn(groupOf(CALLBACK))
    expect(['defaults.queue', 'queue', 'name'].map((path) => fieldAt(inCallback, path)?.path)).toEqual([
      'defaults.queue',
      'defaults.queue',
      'task',
    ])
  })
})

describe('a new request', () => {
  it('has the typed values in their types, without empty fields', () => {
    const typed = {
      name: ' report ',
      version: '3',
      input: '[1]',
      priority: '8',
      runAt: '2026-03-01T10:00',
      after: `${ONE},\n ${TWO} ${ONE}`,
      lazy: true,
      timeout: ' 90s',
      'retry/backoff/jitter': 'false',
    }
    expect(filled(TASK, typed)).toEqual({
      errors: {},
      value: {
        name: 'report',
        version: 3,
        input: [1],
        priority: 8,
        runAt: new Date('2026-03-01T10:00').toISOString(),
        after: [ONE, TWO],
        lazy: true,
        timeout: '90s',
        retry: { backoff: { jitter: false } },
      },
    })
    expect(filled(TASK, { name: 'report', lazy: false }).value).toEqual({ name: 'report' })
  })

  it('shows the error at each field', () => {
    const wrong = {
      version: '0',
      input: '{',
      after: `${ONE} download`,
      timeout: 'soon',
      runAt: 'soon',
      'retry/backoff/factor': '0.5',
      queue: '7up',
      key: 'x'.repeat(257),
    }
    expect(filled(TASK, wrong).errors).toEqual({
      name: 'Required',
      version: 'A whole number from 1 to 1,000,000',
      input: expect.stringMatching(/^Not JSON: /),
      after: 'An id has 24 hexadecimal digits',
      timeout: 'A number with ms, s, m, h or d, such as 15m',
      runAt: 'Not a date and time',
      'retry/backoff/factor': 'A number from 1 to 1,000',
      queue: 'A letter, then letters, digits, _ . : or -, up to 128 characters',
      key: 'At most 256 characters',
    })
  })
})

describe('an edit', () => {
  const task = {
    priority: 5,
    queue: 'default',
    input: { file: 'a.iso' },
    deadline: '2026-01-05T13:00:00.123Z',
    after: [ONE],
  }

  it('has only the changes', () => {
    expect(edited(CHANGES, task, {}).value).toEqual({})
    const typed = { priority: '8', position: 'front', runAt: '2026-02-03T04:05:06', queue: ' bulk ' }
    expect(edited(CHANGES, task, typed).value).toEqual({
      priority: 8,
      position: 'front',
      runAt: new Date('2026-02-03T04:05:06').toISOString(),
      queue: 'bulk',
    })
    expect(edited(CHANGES, task, { input: 'null' })).toEqual({ value: { input: null }, errors: {} })
  })

  it('removes the cleared values, if they are nullable', () => {
    expect(edited(CHANGES, task, { deadline: '', after: ' ' }).value).toEqual({ deadline: null, after: null })
    expect(edited(CHANGES, task, { queue: '' }).errors).toEqual({ queue: 'Required' })
  })

  it('sends an object whole, with its unchanged stored values', () => {
    const stored = { retry: { backoff: { base: 5_000, cap: 60_000 }, decay: false } }
    expect(edited(CHANGES, stored, { 'retry/backoff/base': '7s' }).value).toEqual({
      retry: { backoff: { base: '7s', cap: 60_000 }, decay: false },
    })
    expect(edited(CHANGES, { retry: { decay: false } }, { 'retry/decay': '' }).value).toEqual({ retry: null })
    const callback = { event: 'Add', task: 'addition', defaults: { queue: 'slow', priority: 8 } }
    expect(edited(CALLBACK, callback, { 'defaults/queue': '' }).value).toEqual({ defaults: { priority: 8 } })
    expect(edited(CALLBACK, { defaults: { queue: 'slow' } }, { 'defaults/queue': '' }).value).toEqual({ defaults: {} })
  })

  it('sends only the changed options of a schedule', () => {
    const schedule = { every: 5_400_000, options: { queue: 'slow', priority: 8, lazy: true } }
    expect(
      edited(SCHEDULE, schedule, { 'options/priority': '', 'options/lazy': false, 'options/timeout': '5m' }),
    ).toEqual({
      value: { options: { priority: null, lazy: null, timeout: '5m' } },
      errors: {},
    })
  })

  it('finds the differences between two states', () => {
    const fields = fieldsIn(groupOf(CHANGES))
    const [before, now] = [draftOf(fields, task), draftOf(fields, { ...task, priority: 9 })]
    expect(changedFields(fields, now, before).map(({ path }) => path)).toEqual(['priority'])
    expect(before).toMatchObject({ priority: '5', after: ONE, deadline: localTime(task.deadline), 'retry/decay': '' })
  })
})
