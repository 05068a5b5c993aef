import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { parseNewTask } from '@taskfleet/core/internal'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { ReadyList } from '@taskfleet/worker/internal'
import { z } from 'zod'
import { type Bed, median, storeTasks } from './bed.ts'

const SIZES = [1_000, 100_000, 1_000_000]
const ROUNDS = 5
const PAGE = 5_000
const HOUR_MS = 3_600_000

/** How long from the start of a worker to its first claim, with ever more tasks that wait for their dates? */
export async function run({ fleet, uri }: Bed): Promise<void> {
  const noop = defineTask({ name: 'noop', input: z.object({}), run: () => null })
  const queue = 'dated'
  let stored = 0
  const figures: { size: number; first: number; asked: number }[] = []
  for (const size of SIZES) {
    const insertedAt = performance.now()
    const before = stored
    for (; stored < size; stored += PAGE) await storeDated(Math.min(PAGE, size - stored))
    const seconds = (performance.now() - insertedAt) / 1_000
    process.stdout.write(`stored ${size - before} more in ${seconds.toFixed(0)} s\n`)
    const served = { queues: [queue], tasks: new Map([['noop', { oldest: 1, newest: 1 }]]) }
    const first: number[] = []
    const asked: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      await storeTasks(fleet, 1, { name: 'noop', queue })
      const askedAt = performance.now()
      await fleet.store.waiting(served, 500)
      asked.push(performance.now() - askedAt)
      const runner = new TaskRunner({ mongo: uri, tasks: [noop], queues: [queue] })
      const startedAt = performance.now()
      const claimed = once(runner, 'claimed').then(() => performance.now() - startedAt)
      await runner.start()
      first.push(await claimed)
      await runner.stop({ grace: 0 })
    }
    const figure = { size, first: median(first), asked: median(asked) }
    figures.push(figure)
    const ratio = (part: 'first' | 'asked'): string => (figure[part] / figures[0]![part]).toFixed(2)
    process.stdout.write(
      `${size} waiting: start to first claim ${figure.first.toFixed(0)} ms (${ratio('first')} × that of ${SIZES[0]}); of that asking what comes next ${figure.asked.toFixed(0)} ms (${ratio('asked')} ×)\n`,
    )
  }
  process.stdout.write(`a ready list offered 1,000,000 tasks holds ${readyListKiB().toFixed(0)} KiB\n`)

  async function storeDated(count: number): Promise<void> {
    const tasks = Array.from({ length: count }, () => parseNewTask({ name: 'noop', queue, runAt: someDate() }))
    await fleet.store.enqueue(tasks)
  }
}

/** Within a month, and not in the next hour. */
const someDate = (): Date => new Date(Date.now() + HOUR_MS + Math.floor(Math.random() * 30 * 24 * HOUR_MS))

/** What the list keeps of a million tasks that it is offered. */
function readyListKiB(): number {
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  const list = new ReadyList(500)
  const now = new Date()
  for (let n = 0; n < 1_000_000; n += 1) {
    const runAt = someDate()
    const { _id, version, queue, priority, lazy } = parseNewTask({ name: 'noop', queue: 'dated' })
    const hint = {
      _id,
      name: randomUUID(),
      version,
      queue,
      priority,
      lazy,
      order: runAt,
      runAt,
      lost: 0,
      updatedAt: now,
    }
    list.offer(hint, now)
  }
  globalThis.gc?.()
  const kept = (process.memoryUsage().heapUsed - before) / 1_024
  if (list.nextDate === null) throw new Error('the list is empty')
  return kept
}
