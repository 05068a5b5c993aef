import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { FleetClient } from '@taskfleet/client'
import { Fleet } from '@taskfleet/core'
import { GatewayHost } from '@taskfleet/gateway'
import { CommandTap, type Tapped } from '@taskfleet/testkit/command-tap'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { pino } from 'pino'
import { io } from 'socket.io-client'
import { z } from 'zod'
import type { Bed } from './bed.ts'
import { type Counted, EventCount } from './event-count.ts'
import { taskPhases } from './task-phases.ts'

const SINGLES = 20
const LIST = 1_000
const MINUTE_MS = 60_000
const REPORT_EVERY_MS = 100

const input = z.object({ file: z.string() })
const INPUT = { file: '/srv/media/2026/11/29/original-0042.mkv' }
const noop = defineTask({ name: 'noop', input, run: () => null })
const quiet = defineTask({ name: 'quiet', input, run: ({ signal }) => sleep(2 ** 31 - 1, null, { signal }) })
const reports = defineTask({
  name: 'reports',
  input,
  run: async ({ progress, signal }) => {
    for (let done = 0; ; done += 1) {
      progress({ done, total: 1_000_000, message: 'on its way' })
      await sleep(REPORT_EVERY_MS, null, { signal })
    }
  },
})

/** What do one task, one running minute, one idle worker and one watcher cost the database and the network? */
export async function run(bed: Bed): Promise<void> {
  const events = await EventCount.start(bed)
  for (const text of await taskPhases(bed, INPUT)) line(text)
  await events.take()
  await bed.fleet.tasks.deleteOne({ queue: 'phases' })
  print('removed, as by retention', {}, await events.take())
  for (const prefetch of [0, 'auto'] as const) {
    for (const count of [SINGLES, LIST]) await ofTasks(bed, events, count, prefetch)
  }
  await minutes(bed, events)
}

/** Commands, events and bytes for each of the tasks: one after the other, or as one list. */
async function ofTasks(bed: Bed, events: EventCount, count: number, prefetch: 0 | 'auto'): Promise<void> {
  const queue = `footprint-${count}-${prefetch}`
  const producer = await CommandTap.start(bed)
  const fleet = await Fleet.connect(producer.uri)
  bed.defer(() => fleet.close())
  const { runner, tap } = await startRunner(bed, { queues: [queue], concurrency: 20, prefetch })
  let left = count
  const all = new Promise<void>((resolve) => {
    runner.on('success', () => {
      left -= 1
      if (left === 0) resolve()
    })
  })
  if (count === LIST) await fleet.queues.setPaused(queue, true, 'bench')
  await events.take()
  for (const one of [producer.tap, tap]) one.take()
  if (count === LIST) {
    await fleet.enqueueMany(noop, Array<{ input: typeof INPUT; queue: string }>(count).fill({ input: INPUT, queue }))
    await fleet.queues.setPaused(queue, false, 'bench')
  } else {
    for (let n = 0; n < count; n += 1) {
      const done = once(runner, 'success')
      await fleet.enqueue(noop, INPUT, { queue })
      await done
    }
  }
  await all
  const title = `${count === LIST ? `a list of ${LIST}` : 'one at a time'}, ${prefetch === 0 ? 'none' : 'some'} claimed ahead; for each task`
  print(title, { producer: producer.tap.take(), worker: tap.take() }, await events.take(), count)
  await runner.stop({ grace: 0 })
}

async function minutes(bed: Bed, events: EventCount): Promise<void> {
  const { runner, tap } = await startRunner(bed, {})
  const minute = async (title: string): Promise<void> => {
    await sleep(3_000)
    await events.take()
    tap.take()
    await sleep(MINUTE_MS)
    print(`${title}, for a minute`, { worker: tap.take() }, await events.take())
  }
  await minute('an idle worker')
  for (const task of [quiet, reports]) {
    const claimed = once(runner, 'claimed')
    const { _id } = await bed.fleet.enqueue(task, INPUT)
    await claimed
    await minute(`a worker with the task '${task.name}'`)
    const idle = once(runner, 'idle')
    await bed.fleet.as().tasks.cancel(_id.toHexString())
    await idle
  }
  await runner.stop({ grace: 0 })
  await watched(bed)
}

/** A gateway with one page that has a list and the statistics open, and one that follows a task's progress. */
async function watched(bed: Bed): Promise<void> {
  const { tap, uri } = await CommandTap.start(bed)
  const listen = { host: '127.0.0.1', port: 0 }
  const gateway = new GatewayHost({ mongo: uri, listen, log: pino({ level: 'silent' }) })
  bed.defer(() => gateway.stop())
  await gateway.start()
  const socket = io(gateway.url!, { transports: ['websocket'] })
  bed.defer(() => socket.close())
  await once(socket as never, 'connect')
  const page = { messages: 0, bytes: 0 }
  socket.io.engine.on('packet', ({ data = '' }: { data?: string }) => {
    page.messages += 1
    page.bytes += 1 + data.length
  })
  const shown = async (title: string): Promise<void> => {
    await sleep(3_000)
    tap.take()
    Object.assign(page, { messages: 0, bytes: 0 })
    await sleep(MINUTE_MS)
    print(`a gateway with a page, ${title}, for a minute`, { gateway: tap.take() })
    line(`  to the page: ${page.messages} messages, ${page.bytes} bytes`)
  }
  await shown('which shows nothing')
  await socket.emitWithAck('subscribeQuery', { filter: { status: 'running' }, limit: 50 })
  await socket.emitWithAck('subscribeStats', {})
  await shown('nothing runs')
  const { runner } = await startRunner(bed, { listen })
  const claimed = once(runner, 'claimed')
  const { _id } = await bed.fleet.enqueue(reports, INPUT)
  await claimed
  const client = new FleetClient({ url: gateway.url! })
  bed.defer(() => client.close())
  const progress = { messages: 0, bytes: 0 }
  await client.watchTask(_id.toHexString(), {
    onProgress: (one) => {
      progress.messages += 1
      progress.bytes += JSON.stringify(['progress', one]).length
    },
  })
  await shown("the task 'reports' runs")
  line(
    `  to a client that follows the task: ${progress.messages} messages of ${(progress.bytes / progress.messages).toFixed(0)} bytes`,
  )
  await runner.stop({ grace: 0 })
}

async function startRunner(
  bed: Bed,
  options: Partial<ConstructorParameters<typeof TaskRunner>[0]>,
): Promise<{ runner: TaskRunner; tap: CommandTap }> {
  const { tap, uri } = await CommandTap.start(bed)
  const runner = new TaskRunner({ mongo: uri, tasks: [noop, quiet, reports], ...options })
  bed.defer(() => runner.stop({ grace: 0 }))
  await runner.start()
  return { runner, tap }
}

const line = (text: string): unknown => process.stdout.write(`${text}\n`)

/** @param share for how many tasks it was */
function print(title: string, taps: Record<string, Tapped>, events = new Map<string, Counted>(), share = 1): void {
  const each = (value: number): string => (value / share).toFixed(share === 1 ? 0 : 3)
  const most = <T>(counts: Map<string, T>, of: (one: T) => number): [string, T][] =>
    [...counts].filter(([, one]) => of(one) / share >= 0.001).sort(([, a], [, b]) => of(b) - of(a))
  line(title)
  for (const [who, { commands, connections, sentBytes, receivedBytes }] of Object.entries(taps)) {
    const sum = [...commands.values()].reduce((all, count) => all + count, 0)
    const named = most(commands, (count) => count).map(([name, count]) => `${name} ${each(count)}`)
    line(
      `  ${who} (${connections} connections): ${each(sum)} commands, ${each(sentBytes)} bytes out, ${each(receivedBytes)} in; ${named.join(', ')}`,
    )
  }
  for (const [name, { count, bytes, bytesWithDocument }] of most(events, (one) => one.count)) {
    line(`  ${name}: ${each(count)}, ${each(bytes)} bytes, ${each(bytesWithDocument)} with the document`)
  }
}
