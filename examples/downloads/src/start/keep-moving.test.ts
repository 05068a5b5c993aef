import { startFileServer } from '@taskfleet/downloads/file-server'
import { startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test, vi } from 'vitest'
import { isWatched, keepMoving } from './keep-moving.ts'

const fleet = useFleet()

test('a few downloads run while somebody watches, and another one follows each', async () => {
  const files = await startFileServer({})
  fleet.cleanup(() => files.stop())
  const { url } = await startGateway(fleet)
  const client = fleet.client(url!)
  const stopping = new AbortController()
  let watching = false
  const watched = async (): Promise<boolean> => watching
  const moving = keepMoving({ client, files, watched, scale: 0.001, everyMs: 20, signal: stopping.signal })
  try {
    const posted = () => fleet.fleet.tasks.find({ 'labels.demo': 'goes-on' }).sort({ _id: 1 }).toArray()
    expect(await posted()).toEqual([])
    watching = true
    await vi.waitUntil(async () => (await posted()).length === 3, { timeout: 60_000 })
    const [first] = await posted()
    expect(first!.labels).toMatchObject({ origin: new URL(files.url).host })
    expect(first).toMatchObject({ title: expect.stringMatching(/\.\w+$/), input: { expect: 'overwrite' } })
    await fleet.fleet.as().tasks.cancel({ ids: [first!._id.toHexString()] })
    await vi.waitUntil(async () => (await posted()).length === 4, { timeout: 60_000 })
    expect(await isWatched(url!)).toBe(false)
    const page = fleet.client(url!)
    await page.subscribe({ limit: 1 }, () => undefined)
    // Metrics may be a few seconds old.
    await vi.waitUntil(() => isWatched(url!), { timeout: 60_000 })
  } finally {
    stopping.abort()
    await moving
  }
})
