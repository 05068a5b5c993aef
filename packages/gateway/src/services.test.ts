import { ChangeFeed } from '@taskfleet/core/internal'
import { MemoryDatabase } from '@taskfleet/core/memory'
import { describeService } from '@taskfleet/testkit/describe-service'
import { FakeFeed } from '@taskfleet/testkit/fake-feed'
import { LOOPBACK, silent as log, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { afterAll, beforeAll, describe, vi } from 'vitest'
import { Access } from './access.ts'
import { Gateway } from './gateway.ts'
import { GatewayHost, type GatewayHostOptions } from './gateway-host.ts'
import { KeyHolders } from './key-holders.ts'

// Not beside a real database, whose driver has timers of its own, which would count too.
describeService('KeyHolders', () => {
  const access = new Access(new MemoryDatabase().database, new FakeFeed() as unknown as ChangeFeed)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  return {
    service: new KeyHolders(access, { log, everyMs: 1_000, now: () => new Date() }),
    running: () => vi.getTimerCount(),
    close: async () => {
      vi.useRealTimers()
    },
  }
})

describe('with a database', () => {
  const fleet = useFleet()
  let feed: ChangeFeed
  beforeAll(async () => {
    feed = new ChangeFeed(fleet.database)
    await feed.start()
  })
  afterAll(() => feed.stop())

  /** A port on which another gateway listens. */
  const takenPort = async (): Promise<number> => Number(new URL((await startGateway(fleet)).url!).port)

  /** 1 while something answers there. */
  const answers = (url: string | undefined): Promise<number> =>
    url === undefined
      ? Promise.resolve(0)
      : fetch(new URL('/health/live', url)).then(
          () => 1,
          () => 0,
        )

  describeService('Access', () => {
    const fake = new FakeFeed()
    return {
      service: new Access(fleet.database, fake as unknown as ChangeFeed),
      running: () => fake.listeners.size,
      breakStart: () => {
        vi.spyOn(fleet.database.db.collection('workers').constructor.prototype, 'find').mockImplementationOnce(() => {
          throw new Error('no answer')
        })
      },
    }
  })

  describeService('Gateway', async () => {
    const listen = { ...LOOPBACK }
    const taken = await takenPort()
    const service = new Gateway({ database: fleet.database, feed, listen, log })
    return {
      service,
      running: () => answers(service.url),
      breakStart: () => {
        listen.port = taken
      },
    }
  })

  describeService('GatewayHost', async () => {
    const options: GatewayHostOptions = { mongo: fleet.uri, listen: { ...LOOPBACK }, log }
    const taken = await takenPort()
    const service = new GatewayHost(options)
    return {
      service,
      running: () => answers(service.url),
      breakStart: () => {
        options.listen.port = taken
      },
    }
  })
})
