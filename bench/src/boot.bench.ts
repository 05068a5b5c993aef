import { randomUUID } from 'node:crypto'
import { parseNewTask } from '@taskfleet/core/internal'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { ReadyList } from '@taskfleet/worker/internal'
import { z } from 'zod'
import { median, openBed } from './bed.ts'

const SIZES = [1_000, 100_000, 1_000_000]
const ROUNDS = 5
const PAGE = 5_000
const HOUR_MS = 3_600_000

/** How long from the start of a worker to its first claim, with ever more tasks that wait for their dates? */
export async function run(): Promise<void> {
  const bed = await openBed()
  const { fleet } = bed
  const noop = defineTask({ name: 'noop', input: z.object({}), run: () => null })
  const queue = 'dated'
  let stored = 0
  const figures: { size: number; first: number; asked: number }[] = []
  try {
    for (const size of SIZES) {
      const insertedAt = performance.now()
      const before = stored
      for (; stored < size; stored += PAGE) await insertDated(Math.min(PAGE, size - stored))
      const seconds = (performance.now() - insertedAt) / 1_000
      process.stdout.write(`stored ${size - before} more in ${seconds.toFixed(0)} s\n`)
      const served = { queues: [queue], tasks: new Map([['noop', { oldest: 1, newest: 1 }]]) }
      const first: number[] = []
      const asked: number[] = []
      for (let round = 0; round < ROUNDS; round += 1) {
        await fleet.store.enqueue([parseNewTask({ name: 'noop', queue })])
        const askedAt = performance.now()
        await fleet.store.waiting(served, 500)
        asked.push(performance.now() - askedAt)
        const runner = new TaskRunner({ mongo: bed.uri, tasks: [noop], queues: [queue] })
        const startedAt = performance.now()
        const claimed = new Promise<void>((resolve) => runner.once('claimed', () => resolve()))
        await runner.start()
        await claimed
        first.push(performance.now() - startedAt)
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
  } finally {
    await bed.close()
  }

  /** Straight into the collection: what is measured is finding them, not storing them. */
  async function insertDated(count: number): Promise<void> {
    const now = Date.now()
    const docs = Array.from({ length: count }, () => {
      const runAt = new Date(now + HOUR_MS + Math.floor(Math.random() * 30 * 24 * HOUR_MS))
      const { _id, name, version, input, priority, lazy, maxAttempts } = parseNewTask({ name: 'noop' })
      const counts = { attempt: 0, failures: 0, lost: 0, attempts: [], attemptsDropped: 0, rev: 1 }
      const dates = { runAt, order: runAt, createdAt: new Date(now), updatedAt: new Date(now) }
      return {
        _id,
        name,
        version,
        input,
        status: 'pending' as const,
        queue,
        priority,
        basePriority: priority,
        lazy,
        maxAttempts,
        ...counts,
        ...dates,
      }
    })
    await fleet.tasks.insertMany(docs, { ordered: false })
  }
}

/** What the list keeps of a million tasks that it is offered. */
function readyListKiB(): number {
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  const list = new ReadyList(500)
  const now = new Date()
  for (let n = 0; n < 1_000_000; n += 1) {
    const runAt = new Date(now.getTime() + Math.random() * 30 * 24 * HOUR_MS)
    const { _id } = parseNewTask({ name: 'noop' })
    const hint = {
      _id,
      name: randomUUID(),
      version: 1,
      queue: 'dated',
      priority: 5,
      order: runAt,
      runAt,
      lazy: false,
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
