import { describe, expect, it } from 'vitest'
import { EPOCH, iso } from '../testing/rows.ts'
import { countsPlan } from './status-counts.ts'
import {
  columnsOf,
  mostPinned,
  NARROWEST,
  onOneLine,
  pinnedCount,
  tracksOf,
  WIDEST,
  writeColumns,
} from './task-columns.ts'
import { parseTaskSearch, type TaskSearch, taskQuery, toggleStatus, writeTaskSearch } from './task-search.ts'

describe('filters and the address', () => {
  it('survive the way to the address and back', () => {
    const search: TaskSearch = {
      status: ['running', 'failed'],
      name: 'download',
      host: 'fra-1',
      queue: 'bulk',
      q: 'ubuntu input.url:~mirror',
      deadline: 'risk',
      sort: '-priority',
      limit: 400,
    }
    const written = new URLSearchParams(writeTaskSearch(search)).toString()
    expect(parseTaskSearch(Object.fromEntries(new URLSearchParams(written)))).toEqual(search)
  })

  it('are readable', () => {
    expect(writeTaskSearch({ status: ['running', 'failed'], name: 'download' })).toEqual({
      status: 'running,failed',
      name: 'download',
    })
  })

  it('leave out invalid values', () => {
    expect(parseTaskSearch({ status: 'running,bogus', sort: 'evil', limit: '99999999', q: '' })).toEqual({
      status: ['running'],
      limit: 1_000,
    })
    expect(parseTaskSearch({ limit: '-5', sort: '__proto__', status: {} })).toEqual({})
  })

  it('become a query of simple operators', () => {
    expect(taskQuery({ status: ['running'], q: 'iso' }, EPOCH)).toMatchObject({
      filter: {
        status: 'running',
        title: { $contains: 'iso' },
      },
      sort: { _id: -1 },
      limit: 200,
    })
    expect(taskQuery({ status: ['running', 'failed'], q: 'label.origin:~mirror' }, EPOCH).filter).toEqual({
      status: { $in: ['running', 'failed'] },
      'labels.origin': { $contains: 'mirror' },
    })
  })

  it('find a task by its id', () => {
    expect(taskQuery({ q: ' 65A1B2C3D4E5F60718293A4B ' }, EPOCH).filter).toEqual({
      _id: '65a1b2c3d4e5f60718293a4b',
    })
  })

  it('find what a host runs and has run, whatever the status', () => {
    expect(taskQuery({ host: 'fra-1' }, EPOCH).filter).toEqual({ host: 'fra-1' })
    expect(taskQuery({ host: 'fra-1', status: ['failed'] }, EPOCH).filter).toEqual({ host: 'fra-1', status: 'failed' })
  })

  it('have an order among the statuses that it is meant for, unless others are chosen', () => {
    expect(taskQuery({ sort: 'startedAt' }, EPOCH).filter).toEqual({ status: 'running' })
    expect(taskQuery({ sort: '-finishedAt' }, EPOCH).filter).toEqual({
      status: { $in: ['completed', 'failed', 'cancelled'] },
    })
    expect(taskQuery({ sort: '-finishedAt', status: ['failed'] }, EPOCH).filter).toEqual({ status: 'failed' })
  })

  it('find tasks that have missed their deadline or will soon', () => {
    expect(taskQuery({ deadline: 'risk', queue: 'bulk' }, EPOCH).filter).toEqual({
      queue: 'bulk',
      $or: [
        {
          deadlineMissedAt: { $exists: true },
          status: { $in: ['pending', 'running', 'paused', 'blocked'] },
        },
        { deadlineMissedAt: { $exists: true }, finishedAt: { $gte: iso(EPOCH - 86_400_000) } },
        {
          deadline: { $exists: true },
          basePriority: { $lt: 8 },
          priority: { $gte: 8 },
          status: { $in: ['pending', 'running', 'paused', 'blocked'] },
        },
        {
          deadline: { $lte: iso(EPOCH + 120_000) },
          status: { $in: ['pending', 'running', 'paused', 'blocked'] },
        },
      ],
    })
  })

  it('turn a status on and off', () => {
    expect(toggleStatus({ status: ['failed'] }, 'running')).toEqual({ status: ['running', 'failed'] })
    expect(toggleStatus({ status: ['failed'], q: 'x' }, 'failed')).toEqual({ q: 'x' })
  })
})

describe('columns in the address', () => {
  const read = (columns: string) => columnsOf(parseTaskSearch({ columns }).columns ?? 'age')

  it('have widths and pins, and survive the way there and back', () => {
    const text = 'status:pin,title:320:pin,labels.customer:90,age'
    expect(read(text)).toMatchObject([
      { id: 'status', pinned: true },
      { id: 'title', own: 320, pinned: true },
      { id: 'labels.customer', own: 90 },
      { id: 'age' },
    ])
    expect(writeColumns(read(text))).toBe(text)
  })

  it('leave out what is not understood, and bound widths', () => {
    expect(writeColumns(read('title:wide,age:-5,host:1e3,queue:5:pin,bogus:90,run:99999,run:50'))).toBe(
      `title,age,host,queue:${NARROWEST},run:${WIDEST}`,
    )
    expect(writeColumns(read('__proto__:90,status'))).toBe('title,status')
    for (const bad of ['title;age', 'title:<b>', 'a'.repeat(9).split('').join(',').repeat(9)])
      expect(parseTaskSearch({ columns: bad })).toEqual({})
  })

  it('are pinned from the first on, and only as many as leave room for the others', () => {
    expect(pinnedCount(read('status:pin,title,host:pin'))).toBe(1)
    expect(pinnedCount(read('status,title:pin'))).toBe(0)
    const wide = read('title:500:pin,status:pin,age')
    expect([pinnedCount(wide), mostPinned(wide)]).toEqual([2, 1])
  })

  it('ask for the paths that are shown, whatever their width', () => {
    expect(taskQuery({ columns: 'title:200:pin,input.to:90,bogus.x' }, EPOCH).fields).toContain('input.to')
    expect(taskQuery({ columns: 'title:200:pin,input.to:90,bogus.x' }, EPOCH).fields).not.toContain('bogus.x')
  })

  it('fill the row, by their own width or by what is left', () => {
    expect(tracksOf(read('title,age:90'), false)).toEqual({ template: 'minmax(168px, 1.3fr) 90px 0px', width: 306 })
    expect(tracksOf(read('title:300,age:90'), true)).toEqual({
      template: '20px 300px 90px minmax(0px, 1fr)',
      width: 470,
    })
    // Where a row has one line, the status has what it says below elsewhere beside it.
    expect(tracksOf(onOneLine(read('status,title:90,age')), false).template).toBe('196px 90px 102px minmax(0px, 1fr)')
  })
})

describe('counts beside the statuses', () => {
  const none = { pending: 0, running: 0, paused: 0, blocked: 0, completed: 0, failed: 0, cancelled: 0 }
  const stats = {
    byStatus: { ...none, pending: 9 },
    byQueue: { bulk: { pending: 4 } },
    byName: { download: { failed: 2 } },
    rates: { enqueued: 0, completed: 0, failed: 0, cancelled: 0 },
    slots: [],
    waitMs: { count: 0 },
    runMs: { count: 0 },
  }
  const counts = (search: TaskSearch) => countsPlan(search)?.pick(stats)

  it('are the fleet’s own for all, a queue or a name', () => {
    expect(counts({})).toEqual(stats.byStatus)
    expect(counts({ status: ['failed'], queue: 'bulk' })).toEqual({ pending: 4 })
    expect(counts({ name: 'download', sort: '-priority' })).toEqual({ failed: 2 })
    expect(counts({ name: 'toString' })).toEqual({})
    expect(countsPlan({ queue: 'bulk' })?.filter).toEqual({})
  })

  it('are counted for several filters, and not at all if all tasks would be read', () => {
    expect(countsPlan({ queue: 'bulk', name: 'copy', status: ['failed'] })?.filter).toEqual({
      queue: 'bulk',
      name: 'copy',
    })
    for (const search of [{ q: 'iso' }, { deadline: 'risk' }, { host: 'fra-1' }] as const)
      expect(countsPlan(search)).toBeUndefined()
  })
})
