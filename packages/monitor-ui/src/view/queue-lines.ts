import type { QueueRow, TaskRow, WorkerRow } from '@taskfleet/core/protocol'

/** A queue as the page lists it. */
export interface QueueLine {
  name: string
  /** What somebody has said about it. */
  said: QueueRow | undefined
  /** Waiting tasks whose time has come. */
  due: number
  /** Waiting tasks whose time has not come. */
  scheduled: number
  /** Paused or blocked ones. */
  held: number
  running: number
  /** Names of the workers that serve it. */
  workers: string[]
}

/**
 * Every queue that somebody has said something about, that a live worker serves or that a known task is in.
 * @param now the server's time in milliseconds
 */
export function queueLines(
  known: {
    queues: readonly QueueRow[]
    workers: readonly WorkerRow[]
    waiting: readonly Pick<TaskRow, 'queue' | 'status' | 'runAt'>[]
    running: readonly Pick<TaskRow, 'queue'>[]
  },
  now: number,
): QueueLine[] {
  const lines = new Map<string, QueueLine>()
  const line = (name: string): QueueLine => {
    const there = lines.get(name)
    if (there !== undefined) return there
    const made: QueueLine = { name, said: undefined, due: 0, scheduled: 0, held: 0, running: 0, workers: [] }
    lines.set(name, made)
    return made
  }
  for (const queue of known.queues) line(queue._id).said = queue
  for (const worker of known.workers) {
    for (const queue of worker.queues) line(queue).workers.push(worker.name)
  }
  for (const { queue, status, runAt } of known.waiting) {
    if (status !== 'pending') line(queue).held += 1
    else if (Date.parse(runAt) > now) line(queue).scheduled += 1
    else line(queue).due += 1
  }
  for (const { queue } of known.running) line(queue).running += 1
  return [...lines.values()].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
}
