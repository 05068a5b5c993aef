import { rowsChecksum } from '@taskfleet/protocol'
import { until, Watcher } from '@taskfleet/testkit/live/watcher'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { Types } from 'mongoose'
import { describe, expect, test } from 'vitest'
import { ChangeFeed } from './change-feed.ts'
import { LiveQueries } from './live-queries.ts'

const held = useDatabase()
const [one, two] = ['65f000000000000000000001', '65f000000000000000000002'] as const

describe('the checksum of rows', () => {
  // Computed by another program: h = 0xcbf29ce484222325; for each byte: h = (h ^ byte) * 0x100000001b3 mod 2 ** 64.
  test.each<[string, { _id: string; rev?: number }[], string]>([
    ['no rows', [], 'cbf29ce484222325'],
    ['one row', [{ _id: 'a', rev: 1 }], '18f4f982dced2239'],
    [
      'two rows',
      [
        { _id: one, rev: 1 },
        { _id: two, rev: 12 },
      ],
      'c71ae74015fc4a6e',
    ],
    [
      'the same in another order',
      [
        { _id: two, rev: 12 },
        { _id: one, rev: 1 },
      ],
      'bad0c0e18c95b4a6',
    ],
    ['a row without a rev', [{ _id: 'w1' }], 'b628aee002cd76f7'],
    ['an id beyond ASCII', [{ _id: 'É-😀', rev: 3 }], '59bc157a1065de6c'],
    ['a large rev', [{ _id: 'x', rev: Number.MAX_SAFE_INTEGER }], 'a905329babde67d9'],
  ])('%s', (_name, rows, expected) => {
    expect(rowsChecksum(rows)).toBe(expected)
  })

  test("of a live query equals the checksum of the client's rows at each seq", async () => {
    const feed = new ChangeFeed(held.database)
    await feed.start()
    const queries = new LiveQueries(held.database, feed, { coalesceMs: 0 })
    try {
      const tasks = held.database.db.collection('tasks')
      const watcher = await new Watcher({ sort: { priority: 1 }, limit: 3 }).open(queries)
      const seen = new Set<string>()
      const proofs: [unknown, unknown][] = []
      const look = (): void => {
        proofs.push([watcher.watch.live.checksum, watcher.checksum])
        seen.add(watcher.checksum.checksum)
      }
      // Called after the watcher has applied the same delta.
      watcher.watch.live.subscribe({ delta: look, reset: look })
      look()
      const ids = Array.from({ length: 6 }, () => new Types.ObjectId())
      for (const [priority, _id] of ids.entries()) {
        await tasks.insertOne({ _id, priority: 9 - priority, rev: 1 })
        await until(() => expect(watcher.rows[0]?._id).toBe(_id.toHexString()))
      }
      await tasks.updateOne({ _id: ids[5]! }, { $inc: { rev: 1 } })
      await until(() => expect(watcher.rows[0]?.rev).toBe(2))
      await tasks.deleteMany({ _id: { $in: ids } })
      await until(() => expect(watcher.rows).toEqual([]))
      await watcher.watch.live.reset('AUDIT')
      expect(watcher.checksum).toMatchObject({ seq: 0, count: 0, checksum: 'cbf29ce484222325' })
      for (const [proof, own] of proofs) expect(proof).toEqual(own)
      expect(seen.size).toBeGreaterThan(7)
    } finally {
      queries.stop()
      await feed.stop()
    }
  })
})
