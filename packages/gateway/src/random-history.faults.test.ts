import { setTimeout as sleep } from 'node:timers/promises'
import { startMongo } from '@taskfleet/dev-mongo'
import { countFault } from '@taskfleet/testkit/count-fault'
import { runRandomHistory } from '@taskfleet/testkit/fleet/random-history'
import { expect, test } from 'vitest'

const SECONDS = Number(process.env.TASKFLEET_SECONDS ?? 90)

test(`for ${SECONDS} s gateways are killed and the database restarted, and every client is exact at rest`, async () => {
  const seed = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)
  const mongo = await startMongo({ syncOnCommit: true, env: { ...process.env, TASKFLEET_MONGO_URI: undefined } })
  const address = new URL(mongo.uri)
  address.pathname = '/history'
  try {
    const { writes, came, faults, wrong, left, heap } = await runRandomHistory({
      mongo: address.href,
      seed,
      seconds: SECONDS,
      clients: 40,
      near: 2,
      far: 2,
      writers: 4,
      async restartDatabase() {
        await mongo.kill?.()
        await sleep(500)
        await mongo.restart?.()
      },
    })
    for (const [kind, times] of Object.entries(faults)) countFault(kind, times)
    const happened = Object.entries(faults).map(([kind, count]) => `${count} × ${kind}`)
    const megabytes = [heap.before, heap.after].map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(' → ')
    process.stdout.write(
      `seed ${seed}: ${writes} writes, ${came} clients came, ${happened.join(', ')}; heap ${megabytes} MB\n`,
    )
    expect(wrong, `seed ${seed}`).toEqual([])
    expect(left).toEqual({ connections: 0, rooms: 0, views: 0 })
    expect(heap.after).toBeLessThan(heap.before * 1.1)
  } finally {
    await mongo.stop()
  }
})
