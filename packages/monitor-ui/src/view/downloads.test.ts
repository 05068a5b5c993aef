import { expect, it } from 'vitest'
import { aTask, aWorker } from '../testing/rows.ts'
import { bytesLeft, downloadHosts, originLines, originSearch, storedText } from './downloads.ts'
import { hostLines } from './host-lines.ts'
import { segmentsOf } from './segments.ts'
import { tokenOf } from './task-tokens.ts'

const from = (origin: string) => ({ labels: { origin } })

it('counts downloads by origin, with the sum of their rates', () => {
  const tasks = {
    running: [
      aTask.running(from('a.example')),
      aTask.running(from('b.example:8080')),
      aTask.running(from('a.example')),
    ],
    waiting: [aTask.pending(from('c.example')), aTask.pending()],
    failed: [aTask.failed(from('a.example'))],
  }
  expect(originLines(tasks, () => 5)).toEqual([
    { origin: 'a.example', running: 2, waiting: 0, failed: 1, rate: 10 },
    { origin: 'b.example:8080', running: 1, waiting: 0, failed: 0, rate: 5 },
    { origin: undefined, running: 0, waiting: 1, failed: 0, rate: 0 },
    { origin: 'c.example', running: 0, waiting: 1, failed: 0, rate: 0 },
  ])
  expect(tokenOf(originSearch('[::1]:8080'), 'label.origin')).toBe('[::1]:8080')
})

it('lists the live hosts that serve or run downloads', () => {
  const now = Date.now()
  const workers = [
    aWorker({ _id: 'w1', name: 'fra-1' }, now),
    aWorker({ _id: 'w2', name: 'fra-2', tasks: ['encode@1'] }, now),
    aWorker({ _id: 'w3', name: 'fra-3', tasks: ['encode@1'] }, now),
    aWorker({ _id: 'w4', name: 'fra-4', state: 'stopped' }, now),
  ]
  const running = [aTask.running({ worker: 'w2' }), aTask.running({ worker: 'w2' })]
  const hosts = downloadHosts(hostLines(workers, now), running, () => 3)
  expect(hosts.map(({ worker, running, rate }) => [worker.name, running, rate])).toEqual([
    ['fra-1', 0, 0],
    ['fra-2', 2, 6],
  ])
})

it('sums up what is still to be fetched, of known sizes', () => {
  const at = new Date().toISOString()
  expect(
    bytesLeft([
      { progress: { done: 30, total: 100, unit: 'bytes', at } },
      { progress: { done: 30, unit: 'bytes', at } },
      { progress: { done: 1, total: 9, unit: 'frames', at } },
      {},
    ]),
  ).toBe(70)
})

it('says what became of a list', () => {
  const one = { title: 'a', fresh: true }
  expect(storedText([one])).toEqual({ kind: 'good', text: '1 download queued' })
  expect(storedText([one, one, { ...one, fresh: false }]).text).toBe('2 downloads queued; 1 was there already')
  expect(storedText([{ ...one, served: false }])).toEqual({
    kind: 'bad',
    text: '1 download queued; no live worker serves them in this queue yet',
  })
})

it('reads the ranges of a download from its checkpoint, which may hold anything', () => {
  const at = new Date().toISOString()
  expect(segmentsOf({ bytes: 10, ahead: [50, 60, 10, 20, 90, 200], total: 100 }, undefined)).toEqual({
    spans: [
      { from: 0, to: 20 },
      { from: 50, to: 60 },
      { from: 90, to: 100 },
    ],
    have: 40,
    total: 100,
  })
  // Over one connection, progress is newer.
  const progress = { done: 30, total: 100, unit: 'bytes', at }
  expect(segmentsOf({ bytes: 10 }, progress)?.spans).toEqual([{ from: 0, to: 30 }])
  expect(segmentsOf({ bytes: 10, ahead: [] }, progress)?.spans).toEqual([{ from: 0, to: 10 }])
  expect(segmentsOf({ bytes: 0, total: 100 }, undefined)).toEqual({ spans: [], have: 0, total: 100 })
  for (const odd of [undefined, null, 7, {}, { bytes: 'x', total: 9 }, { bytes: 3 }, { bytes: 3, total: 0 }])
    expect(segmentsOf(odd, undefined)).toBeUndefined()
  expect(segmentsOf({ bytes: 3, ahead: ['x'], total: 9 }, undefined)?.spans).toEqual([{ from: 0, to: 3 }])
})
