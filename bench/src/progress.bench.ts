import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { z } from 'zod'
import type { Bed } from './bed.ts'
import { startChild } from './children.ts'
import type { ClientVerbs } from './clients-child.ts'

const WATCHERS = [1, 10]
const SECONDS = 10
const CALLS_A_SECOND = 100_000

/** What does `progress()` cost when it is called 100,000 times a second, and how much of it reaches watchers and the database? */
export async function run(bed: Bed): Promise<void> {
  const clients = await startChild<ClientVerbs>(bed, './clients-child.ts')
  let begin: () => void = () => undefined
  const ticks = defineTask({
    name: 'ticks',
    input: z.object({}),
    run: async ({ progress }) => {
      await new Promise<void>((resolve) => (begin = resolve))
      return callSteadily(progress)
    },
  })
  const runner = new TaskRunner({ mongo: bed.uri, tasks: [ticks], listen: { host: '127.0.0.1', port: 0 } })
  const writes = { progress: 0, other: 0 }
  const stream = bed.fleet.database.streamsDb.collection('tasks').watch([])
  stream.on('change', (event) => {
    if (event.operationType !== 'update') return
    const fields = Object.keys(event.updateDescription.updatedFields ?? {})
    // The end of an attempt writes the last progress, too.
    const isProgress = fields.some((field) => field.startsWith('progress')) && !fields.includes('status')
    writes[isProgress ? 'progress' : 'other'] += 1
  })
  bed.defer(() => runner.stop({ grace: 0 }))
  bed.defer(() => stream.close())
  await runner.start()
  let kept: object = {}
  const floor = await callSteadily((update) => (kept = update), 2)
  process.stdout.write(
    `a function that only keeps the object: ${floor.micros.toFixed(3)} µs a call (${Object.keys(kept).length} fields)\n`,
  )
  for (const count of WATCHERS) {
    const ended = new Promise<Awaited<ReturnType<typeof callSteadily>>>((resolve) =>
      runner.once('success', ({ output }) => resolve(output as never)),
    )
    const claimed = once(runner, 'claimed')
    const task = await bed.fleet.enqueue(ticks, {})
    await claimed
    await clients.ask('disconnect')
    await clients.ask('connect', runner.url!, count)
    await clients.ask('watchTask', task._id.toHexString())
    await sleep(200)
    const written = { ...writes }
    const before = await clients.ask('progress')
    begin()
    const { calls, seconds, micros } = await ended
    await sleep(300)
    const after = await clients.ask('progress')
    const perWatcher = (after.messages - before.messages) / count / seconds
    process.stdout.write(
      `${count} watcher${count > 1 ? 's' : ''}: ${(calls / seconds).toFixed(0)} calls a second, ${micros.toFixed(3)} µs a call (goal ≤ 2); ${perWatcher.toFixed(1)} messages a second to each watcher (goal ≤ 10); ${((writes.progress - written.progress) / seconds).toFixed(2)} writes of progress a second (goal ≤ 1), ${((writes.other - written.other) / seconds).toFixed(2)} others (lease, end)\n`,
    )
  }
}

/** As many calls as are due, every few milliseconds; only the calls are measured. */
async function callSteadily(
  progress: (update: { done: number; total: number; message: string }) => void,
  forSeconds = SECONDS,
): Promise<{ calls: number; seconds: number; micros: number }> {
  const total = CALLS_A_SECOND * forSeconds
  const startedAt = performance.now()
  let calls = 0
  let inCalls = 0
  while (calls < total) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1_000) * CALLS_A_SECOND))
    const from = performance.now()
    for (; calls < due; calls += 1) progress({ done: calls, total, message: 'on its way' })
    inCalls += performance.now() - from
    await sleep(5)
  }
  return { calls, seconds: (performance.now() - startedAt) / 1_000, micros: (inCalls * 1_000) / calls }
}
