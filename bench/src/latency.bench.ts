import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { FleetClient } from '@taskfleet/client'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { z } from 'zod'
import { type Bed, quantile } from './bed.ts'

const ROUNDS = 100
/** As between commands of people. A busy view sends deltas every 50 ms. */
const PAUSE_MS = 200

/** How long from enqueue to the handler, from a status write to a client, and from a cancel to the aborted signal? */
export async function run(bed: Bed): Promise<void> {
  let started: (at: number) => void = () => undefined
  let aborted: (at: number) => void = () => undefined
  const waits = defineTask({
    name: 'waits',
    input: z.object({}),
    run: ({ signal }) => {
      started(performance.now())
      return new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          aborted(performance.now())
          reject(signal.reason)
        }),
      )
    },
  })
  const listen = { host: '127.0.0.1', port: 0 }
  const runner = new TaskRunner({ mongo: bed.uri, tasks: [waits], listen })
  bed.defer(() => runner.stop({ grace: 0 }))
  await runner.start()
  const other = new TaskRunner({ mongo: bed.uri, tasks: [], listen })
  bed.defer(() => other.stop({ grace: 0 }))
  await other.start()
  const client = new FleetClient({ url: other.url! })
  bed.defer(() => client.close())
  const pickUp: number[] = []
  const delta: number[] = []
  const cancel: number[] = []
  let seen: (status: string) => void = () => undefined
  await client.subscribe({ limit: 1, sort: { _id: -1 } }, ([row]) => seen(row?.status ?? ''))
  for (let round = 0; round < ROUNDS; round += 1) {
    const handler = new Promise<number>((resolve) => (started = resolve))
    const shown = new Promise<number>(
      (resolve) => (seen = (status) => status === 'running' && resolve(performance.now())),
    )
    const postedAt = performance.now()
    const task = await bed.fleet.enqueue(waits, {})
    const [startedAt, shownAt] = await Promise.all([handler, shown])
    pickUp.push(startedAt - postedAt)
    delta.push(shownAt - startedAt)
    const stopped = new Promise<number>((resolve) => (aborted = resolve))
    const idle = once(runner, 'idle')
    const askedAt = performance.now()
    await client.cancel({ id: task._id.toHexString() })
    cancel.push((await stopped) - askedAt)
    await idle
    await sleep(PAUSE_MS)
  }
  const show = (values: readonly number[]): string =>
    `p50 ${quantile(values, 0.5).toFixed(1)} ms, p95 ${quantile(values, 0.95).toFixed(1)} ms`
  process.stdout.write(
    `enqueue → handler            ${show(pickUp)}\nhandler → row in a client    ${show(delta)} (by another host's gateway)\ncancel → aborted signal      ${show(cancel)} (asked of another host; goal p95 ≤ 250 ms)\n`,
  )
}
