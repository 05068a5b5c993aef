import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseNewTask } from '@taskfleet/core/internal'
import { expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import { ownQueue } from '../fleet/test-sockets.ts'
import { useFleet } from '../fleet/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const BENT_TIMERS = new URL('./bent-timers.mjs', import.meta.url).href
const TASK_COUNT = 300
const CANCELLED = 20
const BUSY_MS = 30_000
const fleet = useFleet()

test('F26: with timers that come late, out of order and twice, on cores that are all taken, each task ends once', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-timers-'))
  fleet.cleanup(() => rm(folder, { recursive: true, force: true }))
  const [queue, journal] = [ownQueue(), join(folder, 'journal')]
  const busy = `for (const until = Date.now() + ${BUSY_MS}; Date.now() < until; );`
  const hogs = Array.from({ length: 4 }, () => spawn(process.execPath, ['-e', busy], { stdio: 'ignore' }))
  fleet.cleanup(() => hogs.forEach((hog) => hog.kill('SIGKILL')))
  const args = ['--lease', '2000', '--concurrency', '5', '--queues', queue]
  for (let n = 0; n < 3; n += 1) {
    const worker = await WorkerProcess.start({ mongo: fleet.uri, tasks: TASKS, args, imports: [BENT_TIMERS] })
    fleet.cleanup(() => worker.signal('SIGKILL'))
  }
  countFault('core taken by another process', hogs.length)
  countFault('worker with bent timers', 3)
  const { store } = fleet.fleet
  const tasks = await store.enqueue(
    Array.from({ length: TASK_COUNT }, () => parseNewTask({ name: 'steady', input: { ms: 200, journal }, queue })),
  )
  const cancelled = tasks.slice(-CANCELLED)
  await Promise.all(cancelled.map(({ _id }) => store.cancel(_id, 'test')))
  const ended = await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
  const ends = (await readFile(journal, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  for (const [index, task] of ended.entries()) {
    checkInvariants(task)
    const isCancelled = index >= TASK_COUNT - CANCELLED
    expect(isCancelled ? ['cancelled', 'completed'] : ['completed'], JSON.stringify(task.attempts)).toContain(
      task.status,
    )
    expect(task).toMatchObject({ lost: 0, failures: 0 })
    const completed = task.attempts.filter(({ outcome }) => outcome === 'completed')
    expect(completed.length, JSON.stringify(task.attempts)).toBe(task.status === 'completed' ? 1 : 0)
    // From outside: no lease ran twice, and the one that completed reached its end.
    const mine = ends.filter(({ id }) => id === task._id.toHexString())
    const begun = mine.filter(({ what }) => what === 'begin').map(({ lease }) => lease)
    expect(new Set(begun).size, 'a lease begins once').toBe(begun.length)
    for (const { lease } of completed)
      expect(mine.filter((note) => note.what === 'end' && note.lease === lease)).toHaveLength(1)
  }
  await Promise.all(hogs.map((hog) => hog.exitCode ?? once(hog, 'exit')))
}, 240_000)
