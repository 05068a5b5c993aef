import { describeService } from '@taskfleet/testkit/describe-service'
import { FakeFeed } from '@taskfleet/testkit/fake-feed'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, vi } from 'vitest'
import { ChangeFeed } from './live/change-feed.ts'
import { WatchLoop } from './watch-loop.ts'
import { EventLoopDelay } from './worker/event-loop-delay.ts'
import { LoadMeter } from './worker/load-meter.ts'
import { SessionWatch } from './worker/session-watch.ts'

const log = pino({ level: 'silent' })

describe('with timers that are counted', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })
  const running = (): number => vi.getTimerCount()

  describeService('WatchLoop', () => ({
    service: new WatchLoop({ look: async () => undefined, everyMs: 1_000, failed: 'a look failed' }),
    running,
  }))

  describeService('EventLoopDelay', () => ({ service: new EventLoopDelay(), running }))

  describeService('LoadMeter', () => ({ service: new LoadMeter(), running }))

  describeService('SessionWatch', () => {
    const feed = new FakeFeed()
    const register = { list: async () => [], end: async () => null }
    const service = new SessionWatch({ register, feed, log, unbrokenFor: () => 0, prove: async () => undefined })
    return { service, running: () => running() + feed.listeners.size }
  })
})

// Not beside the counted timers: the driver has timers of its own, which would count too.
describe('with a database', () => {
  const held = useDatabase()

  describeService('ChangeFeed', () => ({
    service: new ChangeFeed(held.database),
    running: () => held.database.db.collection('canaries').countDocuments({ at: { $exists: true } }),
    breakStart: () => {
      const { streamsDb } = held.database
      vi.spyOn(held.database, 'streamsDb', 'get')
        .mockImplementationOnce(() => streamsDb)
        .mockImplementationOnce(() => {
          throw new Error('no stream')
        })
    },
  }))
})
