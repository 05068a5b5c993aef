import { setTimeout as sleep } from 'node:timers/promises'
import { Fleet, type TaskDocument } from '@taskfleet/core'
import { startMongo } from '@taskfleet/dev-mongo'
import { countFault } from '@taskfleet/testkit/count-fault'
import { expect, test } from 'vitest'
import { startDemo } from './demo.ts'

const AWAY_MS = 12_000

test.each([
  ['stands still', 'SIGSTOP'],
  ['is gone', 'SIGKILL'],
] as const)('downloads go on in the same attempts while the database %s for 12 s', async (_how, signal) => {
  const mongo = await startMongo({ syncOnCommit: true, env: { ...process.env, TASKFLEET_MONGO_URI: undefined } })
  const demo = await startDemo(['--once'], mongo.uri)
  try {
    // Served at a limited rate, so that it is on its way for longer than a lease.
    await demo.line(/throttled\.dat +running/)
    await mongo.kill?.(signal)
    countFault(`database ${signal === 'SIGSTOP' ? 'stands still' : 'is gone'}`)
    await sleep(AWAY_MS)
    await (signal === 'SIGSTOP' ? mongo.kill?.('SIGCONT') : mongo.restart?.())
    const code = await demo.closed
    const text = demo.lines.join('\n')
    expect(text).toMatch(/14 of 14 ended as they should/)
    expect(code, text).toBe(0)
    for (const { input, lost, attempts } of await tasksOf(mongo.uri, demo.folder)) {
      const told = JSON.stringify({ input, attempts })
      expect(lost, told).toBe(0)
      // Those whose server fails them at first are tried again for that, and for nothing else.
      const codes = attempts.map(({ error }) => error?.code)
      expect(codes, told).not.toContain('LEASE_LOST')
      expect(codes, told).not.toContain('WORKER_LOST')
    }
  } finally {
    await mongo.kill?.('SIGCONT').catch(() => undefined)
    await demo.stop()
    await mongo.stop()
  }
})

async function tasksOf(uri: string, folder: string): Promise<TaskDocument[]> {
  const address = new URL(uri)
  address.pathname = `/demo_${folder.slice(-6)}`
  const fleet = await Fleet.connect(address.href)
  try {
    return await fleet.tasks.find({}).toArray()
  } finally {
    await fleet.close()
  }
}
