import { describe, expect, it } from 'vitest'
import { parseTaskSearch, type TaskSearch, taskQuery, toggleStatus, writeTaskSearch } from './task-search.ts'

const workers = [
  { _id: 'w1', name: 'fra-1' },
  { _id: 'w2', name: 'fra-1' },
  { _id: 'w3', name: 'ams-1' },
]

describe('filters and the address', () => {
  it('survive the way to the address and back', () => {
    const search: TaskSearch = {
      status: ['running', 'failed'],
      name: 'download',
      host: 'fra-1',
      queue: 'bulk',
      q: 'ubuntu & co',
      in: 'url',
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

  it('leave out what makes no sense', () => {
    expect(parseTaskSearch({ status: 'running,bogus', sort: 'evil', limit: '99999999', in: 'x', q: '' })).toEqual({
      status: ['running'],
      limit: 1_000,
    })
    expect(parseTaskSearch({ limit: '-5', sort: '__proto__', status: {} })).toEqual({})
  })

  it('become a query of simple operators', () => {
    expect(taskQuery({ status: ['running'], q: 'iso' }, workers)).toMatchObject({
      filter: { status: 'running', 'input.file': { $contains: 'iso' } },
      sort: { createdAt: -1 },
      limit: 200,
    })
    expect(taskQuery({ status: ['running', 'failed'], in: 'url', q: 'mirror' }, workers).filter).toEqual({
      status: { $in: ['running', 'failed'] },
      'input.url': { $contains: 'mirror' },
    })
  })

  it('find a task by its id', () => {
    expect(taskQuery({ q: ' 65A1B2C3D4E5F60718293A4B ' }, workers).filter).toEqual({ _id: '65a1b2c3d4e5f60718293a4b' })
  })

  it('mean every start of a host by its name, and nothing by a name that nobody has', () => {
    expect(taskQuery({ host: 'fra-1' }, workers).filter).toEqual({ worker: { $in: ['w1', 'w2'] } })
    expect(taskQuery({ host: 'nobody' }, workers).filter).toEqual({ worker: { $in: ['nobody'] } })
  })

  it('turn a status on and off', () => {
    expect(toggleStatus({ status: ['failed'] }, 'running')).toEqual({ status: ['running', 'failed'] })
    expect(toggleStatus({ status: ['failed'], q: 'x' }, 'failed')).toEqual({ q: 'x' })
  })
})
