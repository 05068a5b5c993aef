import { describe, expect, it } from 'vitest'
import { rowSource, type SourceFacts, workerView } from './row-source.ts'
import { aRow, aWorker, EPOCH, iso } from './testing/fake-client.ts'

const now = EPOCH
const facts: SourceFacts = {
  task: aRow({ _id: 'a' }),
  connection: 'live',
  worker: aWorker(),
  watch: { state: 'live', via: 'direct', publicUrl: 'http://127.0.0.1:4101/tasks/1' },
  progressAt: now - 200,
  receivedAt: now - 150,
  now,
}
const silentWorker = aWorker({ heartbeatMs: 2_000, heartbeatAt: iso(now - 9_000) })

describe('rowSource', () => {
  it('shows live while its own socket is open, and how it is reached', () => {
    expect(rowSource(facts)).toEqual({ kind: 'live', via: 'direct' })
    expect(rowSource({ ...facts, watch: { state: 'live', via: 'relay', publicUrl: '' } })).toMatchObject({
      via: 'relay',
    })
  })

  it('shows the age of the checkpoint if the socket cannot be reached', () => {
    const watch = { state: 'unreachable', publicUrl: '', reason: 'ECONNREFUSED' } as const
    expect(rowSource({ ...facts, watch, progressAt: now - 4_000 })).toEqual({
      kind: 'checkpoint',
      ageMs: 4_000,
      reason: 'ECONNREFUSED',
    })
  })

  it('shows the stored progress of a worker that does not listen, which is no fault', () => {
    const watch = { state: 'stored' } as const
    expect(rowSource({ ...facts, watch, progressAt: now - 1_000 })).toEqual({ kind: 'stored', ageMs: 1_000 })
    expect(rowSource({ ...facts, watch, progressAt: undefined })).toEqual({ kind: 'stored', ageMs: undefined })
  })

  it('shows a checkpoint without a watch, and one that never came', () => {
    expect(rowSource({ ...facts, watch: undefined, progressAt: undefined })).toEqual({
      kind: 'checkpoint',
      ageMs: undefined,
    })
  })

  it('shows silent after three missed heartbeats', () => {
    expect(rowSource({ ...facts, worker: silentWorker, watch: undefined })).toEqual({ kind: 'silent', ageMs: 9_000 })
    expect(rowSource({ ...facts, worker: silentWorker, receivedAt: now - 7_000 })).toMatchObject({ kind: 'silent' })
  })

  it('prefers a recent report to a missed heartbeat', () => {
    expect(rowSource({ ...facts, worker: silentWorker })).toMatchObject({ kind: 'live' })
  })

  it('shows reconnecting while the gateway is away, in any state', () => {
    expect(rowSource({ ...facts, connection: 'reconnecting' })).toEqual({ kind: 'reconnecting' })
    expect(rowSource({ ...facts, connection: 'connecting', worker: silentWorker })).toEqual({ kind: 'reconnecting' })
  })

  it('shows nothing for tasks that do not run', () => {
    expect(rowSource({ ...facts, task: aRow({ _id: 'a', status: 'completed' }), connection: 'reconnecting' })).toEqual({
      kind: 'none',
    })
  })
})

describe('workerView', () => {
  it('derives silent and gone from the heartbeat, and uses the reported state of a stopped worker', () => {
    const at = (age: number) => workerView(aWorker({ heartbeatMs: 2_000, heartbeatAt: iso(now - age) }), now)
    expect(at(5_900)).toBe('running')
    expect(at(6_100)).toBe('silent')
    expect(at(31_000)).toBe('gone')
    expect(workerView(aWorker({ state: 'stopped', heartbeatAt: iso(now - 1e6) }), now)).toBe('stopped')
    expect(workerView(aWorker({ state: 'dead', heartbeatAt: iso(now - 5_000) }), now)).toBe('gone')
    expect(workerView(aWorker({ state: 'draining', heartbeatAt: iso(now + 5_000) }), now)).toBe('draining')
  })
})
