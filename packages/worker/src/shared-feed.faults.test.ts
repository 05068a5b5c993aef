import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TaskDocument } from '@taskfleet/core'
import { GatewayHost } from '@taskfleet/gateway'
import { GatewayProcess } from '@taskfleet/testkit/fleet/gateway-process'
import { ownQueue, silent, startProxy } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { afterEach, expect, test } from 'vitest'

const fleet = useFleet()
const WORKERS = 4
/** A feeder counts as gone when it is silent for 3 s; then the worker connects elsewhere. */
const LATEST_MS = 6_000
/** No task is found by the poll. */
const POLL_MS = 600_000

afterEach(async () => {
  await fleet.database.db.collection('workers').deleteMany({})
})

/** Tasks go on all the while a feeder breaks; each must start soon, once, and obey a cancel. */
async function survives(breakIt: () => Promise<void> | void): Promise<void> {
  const queue = ownQueue()
  for (let n = 0; n < WORKERS; n += 1) await fleet.runner({ queue, pollMs: POLL_MS, concurrency: 50 })
  const posted: TaskDocument[] = []
  const post = async (): Promise<void> => {
    for (let n = 0; n < 4; n += 1) posted.push(await fleet.post([], { queue }))
  }
  const held = await fleet.post([{ do: 'waitForAbort' }], { queue })
  await fleet.until(held._id, ({ status }) => status === 'running')
  await post()
  for (const { _id } of posted) await fleet.ended(_id)
  const broken = breakIt()
  for (let n = 0; n < 8; n += 1) {
    await post()
    await sleep(250)
  }
  await fleet.fleet.as().tasks.cancel({ id: held._id.toHexString() })
  await broken
  for (const { _id } of posted) {
    const ended = await fleet.ended(_id)
    expect(ended).toMatchObject({ status: 'completed', attempt: 1, lost: 0, failures: 0 })
    expect(ended.startedAt!.getTime() - ended.createdAt.getTime()).toBeLessThan(LATEST_MS)
  }
  expect(await fleet.ended(held._id)).toMatchObject({ status: 'cancelled', attempt: 1 })
}

test('a feeder that is killed', async () => {
  const gateway = await GatewayProcess.start(fleet.uri)
  fleet.cleanup(() => gateway.kill())
  await survives(() => gateway.kill())
})

test('a feeder that stands still', async () => {
  const gateway = await GatewayProcess.start(fleet.uri)
  fleet.cleanup(() => gateway.kill())
  await survives(async () => {
    process.kill(gateway.pid, 'SIGSTOP')
    await sleep(5_000)
    process.kill(gateway.pid, 'SIGCONT')
  })
})

test('a feeder whose connections are cut, and cut again', async () => {
  const spare = createServer().listen(0, '127.0.0.1')
  await once(spare, 'listening')
  const { port } = spare.address() as AddressInfo
  spare.close()
  const proxy = await startProxy(fleet, `http://127.0.0.1:${port}`)
  const listen = { host: '127.0.0.1', port }
  const host = new GatewayHost({ mongo: fleet.uri, listen, publicUrl: proxy.url, log: silent })
  fleet.cleanup(() => host.stop())
  await host.start()
  await survives(async () => {
    for (let n = 0; n < 4; n += 1) {
      proxy.cut()
      await sleep(400)
    }
  })
})

test('a gateway that is restarted under load, twice', async () => {
  const gateway = await GatewayProcess.start(fleet.uri)
  fleet.cleanup(() => gateway.kill())
  await survives(async () => {
    await gateway.restart()
    await gateway.restart()
  })
})
