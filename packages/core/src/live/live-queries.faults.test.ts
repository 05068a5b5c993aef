import { Watcher } from '@taskfleet/testkit/live/watcher'
import { randomOf, someQueries, WriteHistory } from '@taskfleet/testkit/live/write-history'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { Types } from 'mongoose'
import { expect, test } from 'vitest'
import { ChangeFeed } from './change-feed.ts'
import { LiveQueries } from './live-queries.ts'

const held = useDatabase()
const ROUNDS = Number(process.env.TASKFLEET_ROUNDS ?? 20)

test(`200 queries are exact at rest after each of ${ROUNDS} histories`, async () => {
  const seed = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)
  const random = randomOf(seed)
  const feed = new ChangeFeed(held.database)
  await feed.start()
  const queries = new LiveQueries(held.database, feed, { coalesceMs: 10, lingerMs: 0, auditMs: 5_000 })
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const queue = `q-${new Types.ObjectId().toHexString()}`
      const history = new WriteHistory(held.database.db, { queue, random, most: 20 + round * 10 })
      await history.step()
      const watchers: Watcher[] = []
      const join = async (): Promise<void> => {
        for (const request of someQueries(queue, 100, random)) {
          watchers.push(await new Watcher(request, history.reborn).open(queries))
        }
      }
      const write = async (): Promise<void> => {
        for (let n = 0; n < 100; n += 1) await history.step()
      }
      await Promise.all([write(), write(), write(), write(), join().then(join)])
      for (const watcher of watchers) {
        await watcher.isExact(held.database.db)
        expect(watcher.resets, `seed ${seed}`).toEqual([])
        watcher.watch.close()
      }
    }
    await expect.poll(() => queries.size).toBe(0)
    expect(queries.mended, `seed ${seed}`).toBe(0)
  } finally {
    queries.stop()
    await feed.stop()
  }
})
