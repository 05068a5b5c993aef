import { describe, expect, it } from 'vitest'
import { aWorker, EPOCH, iso } from '../testing/rows.ts'
import { boardWorkers } from './now-page.tsx'

const names = (...workers: Parameters<typeof aWorker>[0][]) =>
  boardWorkers(
    workers.map((worker) => aWorker(worker)),
    EPOCH,
  ).map(({ _id }) => _id)

const minute = 60_000

describe('boardWorkers', () => {
  it('shows live hosts by name, then gateways, then those that ended lately', () => {
    expect(
      names(
        { _id: 'stopped', name: 'a', state: 'stopped', stoppedAt: iso(EPOCH - minute) },
        { _id: 'gateway', name: 'b', role: 'gateway' },
        { _id: 'ten', name: 'host-10' },
        { _id: 'two', name: 'host-2', state: 'draining' },
      ),
    ).toEqual(['two', 'ten', 'gateway', 'stopped'])
  })

  it('drops hosts that were started again under the same name, and those that ended long ago', () => {
    expect(
      names(
        { _id: 'now', name: 'a' },
        { _id: 'before', name: 'a', heartbeatAt: iso(EPOCH - minute) },
        { _id: 'long-gone', name: 'b', heartbeatAt: iso(EPOCH - 20 * minute) },
      ),
    ).toEqual(['now'])
  })

  it('shows a worker that goes on under a new session once', () => {
    const boot = 'b1'
    expect(
      names(
        { _id: 'ended', boot, name: 'a', state: 'stopped', stoppedAt: iso(EPOCH - 1_000) },
        { _id: 'goes-on', boot, name: 'a', startedAt: iso(EPOCH - 1_000) },
      ),
    ).toEqual(['goes-on'])
    // Nor for as long as the session that was ended has not been marked so.
    expect(
      names(
        { _id: 'ended', boot, name: 'a', state: 'dead', heartbeatAt: iso(EPOCH - 1_000) },
        { _id: 'goes-on', boot, name: 'a', startedAt: iso(EPOCH - 1_000) },
      ),
    ).toEqual(['goes-on'])
  })

  it('keeps a host that has just gone silent', () => {
    expect(names({ _id: 'silent', name: 'a', heartbeatAt: iso(EPOCH - 10_000) })).toEqual(['silent'])
  })
})
