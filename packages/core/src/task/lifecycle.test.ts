import { readFile } from 'node:fs/promises'
import { hasEnded, STATUSES, type TaskStatus } from '@taskfleet/protocol'
import { describe, expect, test } from 'vitest'
import {
  attemptGuard,
  ENDED_STATUSES,
  guard,
  isFenced,
  lifecycleChart,
  lifecycleTable,
  OPEN_STATUSES,
  TRANSITIONS,
  type Transition,
  type Verb,
  verbsFrom,
} from './lifecycle.ts'

const verbs = Object.keys(TRANSITIONS) as Verb[]
const of = (verb: Verb): Transition => TRANSITIONS[verb]

describe('the table of transitions', () => {
  test.each(verbs)('%s leads from known statuses to another one', (verb) => {
    const { from, to, says } = of(verb)
    expect(from.length).toBeGreaterThan(0)
    expect(new Set(from).size).toBe(from.length)
    for (const status of [...from, to]) expect(STATUSES).toContain(status)
    expect(from).not.toContain(to)
    expect(says).not.toBe('')
  })

  test.each(verbs)('%s closes an attempt if and only if it leaves running', (verb) => {
    const { from, closes, by } = of(verb)
    expect(closes !== undefined).toBe(from.includes('running'))
    // A running task belongs to the holder of its lease, and to the reaper once the lease has expired.
    // Only malformed tasks are ended by the fleet, in any status.
    if (verb === 'quarantine') return
    expect(['owner', 'reaper'].includes(by)).toBe(from.includes('running'))
    if (from.includes('running')) expect(from).toEqual(['running'])
  })

  test('every status can be reached', () => {
    const reached = new Set<TaskStatus>(['pending', 'blocked'])
    for (let before = 0; before < reached.size; ) {
      before = reached.size
      for (const verb of verbs) if (of(verb).from.some((status) => reached.has(status))) reached.add(of(verb).to)
    }
    expect([...reached].sort()).toEqual([...STATUSES].sort())
  })

  test('only a claim makes a task run', () => {
    expect(verbs.filter((verb) => of(verb).to === 'running')).toEqual(['claim'])
  })

  test('an ended status is left only by a retry, and `completed` never', () => {
    const retried: Verb[] = ['rerun', 'rewait']
    const left: Partial<Record<TaskStatus, Verb[]>> = { completed: [], failed: retried, cancelled: retried }
    expect(Object.fromEntries(ENDED_STATUSES.map((status) => [status, verbsFrom(status)]))).toEqual(left)
  })

  test('open and ended statuses are all there are', () => {
    expect([...OPEN_STATUSES, ...ENDED_STATUSES].sort()).toEqual([...STATUSES].sort())
    expect(ENDED_STATUSES.every(hasEnded)).toBe(true)
    expect(OPEN_STATUSES.some(hasEnded)).toBe(false)
  })

  test('every status that is open can be left', () => {
    for (const status of OPEN_STATUSES) expect(verbsFrom(status)).not.toEqual([])
  })
})

describe('the guard of a write', () => {
  test.each(verbs)('%s names the task and the statuses it may leave', (verb) => {
    const { from } = of(verb)
    const { _id, status } = guard(verb, 'id', 'lease')
    expect(_id).toBe('id')
    expect(status).toEqual(from.length === 1 ? from[0] : { $in: from })
  })

  test.each(verbs.filter(isFenced))('%s is fenced by the lease, and refuses to do without', (verb) => {
    expect(guard(verb, 'id', 'lease')).toEqual({ _id: 'id', status: 'running', 'lease.id': 'lease' })
    expect(() => guard(verb, 'id')).toThrow(TypeError)
  })

  test.each(verbs.filter((verb) => !isFenced(verb)))('%s needs no lease', (verb) => {
    expect(guard(verb, 'id', 'lease')).not.toHaveProperty('lease.id')
    expect(Object.keys(guard(verb, 'id'))).toEqual(['_id', 'status'])
  })

  test('other writes of an attempt are fenced too', () => {
    expect(attemptGuard('id', 'lease')).toEqual({ _id: 'id', status: 'running', 'lease.id': 'lease' })
  })
})

describe('docs/lifecycle.md', () => {
  test('shows the chart and the table as they are', async () => {
    const page = await readFile(new URL('../../../../docs/lifecycle.md', import.meta.url), 'utf8')
    const charts = [...page.matchAll(/```mermaid\n([\s\S]*?)\n```/g)].map(([, chart]) => chart)
    expect(charts).toEqual([lifecycleChart()])
    const rows = page.split('\n').filter((line) => line.startsWith('|'))
    expect(rows.join('\n')).toBe(lifecycleTable())
  })
})
