import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseNewTask } from '@taskfleet/core/internal'
import { afterEach, describe, expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import { eventually, useFleet } from '../fleet/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const fleet = useFleet()

interface Note {
  id: string
  attempt: number
  lease: string
  what: 'begin' | 'end'
  at: number
}

describe('workers that are killed', () => {
  const workers: WorkerProcess[] = []
  let folder: string | undefined
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.signal('SIGKILL')))
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  })

  const startWorker = async (...args: string[]): Promise<WorkerProcess> => {
    const worker = await WorkerProcess.start({ mongo: fleet.uri, tasks: TASKS, args })
    workers.push(worker)
    return worker
  }
  const journal = async (): Promise<string> => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-kill-'))
    return join(folder, 'journal')
  }
  const post = (count: number, input: { ms: number; journal: string }) =>
    fleet.fleet.store.enqueue(
      Array.from({ length: count }, () => parseNewTask({ name: 'steady', input, maxAttempts: 50 })),
    )

  test('3 workers × 200 tasks with random kill -9: each completed exactly once, every attempt on record, none lost', async () => {
    const file = await journal()
    const tasks = await post(200, { ms: 150, journal: file })
    await Promise.all([1, 2, 3].map(() => startWorker('--lease', '1500', '--concurrency', '4')))
    const done = (): Promise<number> =>
      fleet.database.db.collection('tasks').countDocuments({ name: 'steady', status: 'completed' })
    for (let kills = 0; kills < 5; kills += 1) {
      const before = await done()
      await eventually(async () => (await done()) >= Math.min(200, before + 15))
      const living = workers.filter(({ alive }) => alive)
      await living[Math.floor(Math.random() * living.length)]!.signal('SIGKILL')
      countFault('worker killed')
      await startWorker('--lease', '1500', '--concurrency', '4')
    }
    await eventually(async () => (await done()) === 200)
    const notes = (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Note)
    for (const { _id } of tasks) {
      const task = (await fleet.fleet.store.find(_id))!
      checkInvariants(task)
      const outcomes = task.attempts.map(({ outcome }) => outcome)
      // A worker that a busy machine delays for longer than its lease lives, and releases its tasks.
      expect(outcomes.slice(0, -1).every((outcome) => outcome === 'lost' || outcome === 'released')).toBe(true)
      expect(outcomes.at(-1)).toBe('completed')
      // From outside: every started attempt is recorded, and only the completed one reached its end unfenced.
      const began = notes.filter(({ id, what }) => id === _id.toHexString() && what === 'begin')
      expect(began.every(({ lease }) => task.attempts.some((attempt) => attempt.lease === lease))).toBe(true)
      const last = task.attempts.at(-1)!
      expect(
        notes.some(({ lease, id, what }) => lease === last.lease && id === _id.toHexString() && what === 'end'),
      ).toBe(true)
    }
  })
})
