import { type AttentionRow, FleetError } from '@taskfleet/protocol'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Attention, LiveAttention } from './live-attention.ts'

const row = (message: string): AttentionRow => ({ _id: 'w', kind: 'weak', urgency: 'soon', subject: 'secret', message })

const source = { list: vi.fn<() => Promise<AttentionRow[]>>(), read: vi.fn<() => Promise<AttentionRow[]>>() }
let live: LiveAttention
let told: Attention[]

beforeEach(async () => {
  vi.useFakeTimers()
  source.list.mockReset().mockResolvedValue([row('a')])
  source.read.mockReset().mockResolvedValue([row('a')])
  live = new LiveAttention(source)
  told = []
  live.subscribe((now) => told.push(now))
})
afterEach(() => {
  live.close()
  vi.useRealTimers()
})

const change = (collection: 'tasks' | 'workers' | 'queues', doc: object | null) =>
  live.change({ collection, id: '1', doc: doc as never })

test('the first rows may be those that another caller got; after that they are read at least every five seconds', async () => {
  await live.open()
  expect(live.attention).toEqual({ seq: 1, rows: [row('a')] })
  expect(source.read).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(2_000)
  expect(source.read).toHaveBeenCalledTimes(1)
  await vi.advanceTimersByTimeAsync(15_000)
  expect(source.read).toHaveBeenCalledTimes(4)
  // The first ones, and no more while they stay the same.
  expect(told).toHaveLength(1)
})

test('changes that can matter are read after two seconds at most, however many there are', async () => {
  await live.open()
  await vi.advanceTimersByTimeAsync(2_000)
  source.read.mockResolvedValue([row('b')])
  for (let at = 0; at < 40; at += 1) {
    change('tasks', { status: 'pending' })
    await vi.advanceTimersByTimeAsync(100)
  }
  expect(source.read).toHaveBeenCalledTimes(3)
  expect(told.map(({ rows }) => rows[0]?.message)).toEqual(['a', 'b'])
})

test('progress and heartbeats are no reason to read', async () => {
  await live.open()
  change('workers', { state: 'running', name: 'fra-1', heartbeatAt: 1 })
  await vi.advanceTimersByTimeAsync(2_000)
  expect(source.read).toHaveBeenCalledTimes(1)
  change('tasks', { status: 'running' })
  change('workers', { state: 'running', name: 'fra-1', heartbeatAt: 2 })
  await vi.advanceTimersByTimeAsync(2_500)
  expect(source.read).toHaveBeenCalledTimes(1)
  change('workers', { state: 'draining', name: 'fra-1', heartbeatAt: 3 })
  await vi.advanceTimersByTimeAsync(1)
  expect(source.read).toHaveBeenCalledTimes(2)
})

test('watchers get the reason when the rows can not be read, with the last known ones, and then the rows again', async () => {
  await live.open()
  source.read.mockRejectedValue(new FleetError('QUERY_TOO_SLOW', 'too slow'))
  await vi.advanceTimersByTimeAsync(8_000)
  expect(told.slice(1)).toEqual([{ seq: 2, rows: [row('a')], error: { code: 'QUERY_TOO_SLOW', message: 'too slow' } }])
  source.read.mockResolvedValue([row('a')])
  await vi.advanceTimersByTimeAsync(5_000)
  expect(told.at(-1)).toEqual({ seq: 3, rows: [row('a')] })
})

test('nothing is read after the end, and a first read that fails is an error of the caller', async () => {
  await live.open()
  live.close()
  await vi.advanceTimersByTimeAsync(20_000)
  expect(source.read).not.toHaveBeenCalled()
  source.list.mockRejectedValue(new FleetError('QUERY_TOO_SLOW', 'too slow'))
  await expect(new LiveAttention(source).open()).rejects.toMatchObject({ code: 'QUERY_TOO_SLOW' })
})
