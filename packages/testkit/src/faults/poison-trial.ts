import { fileURLToPath } from 'node:url'
import type { TaskDocument } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import { expect } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import { ownQueue } from '../fleet/test-sockets.ts'
import type { useFleet } from '../fleet/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./culprit.tasks.mjs', import.meta.url))
/** Long enough that no worker loses its lease on a busy machine: here workers die only by the task. */
const LEASE_MS = 6_000
const GOOD = 7

/** How the culprit ends its process. */
export const ENDS = ['kill', 'abort', 'segmentation fault', 'out of memory'] as const

export interface PoisonTrial {
  end: (typeof ENDS)[number]
  workers: number
  /** How long each good task takes. */
  goodMs: number
  /** How long the culprit runs before it ends its process. */
  culpritMs: number
}

/** A worker that is restarted whenever its process ends, as by a supervisor. */
class Supervised {
  readonly #start: () => Promise<WorkerProcess>
  readonly #running: Promise<void>
  #worker: WorkerProcess | undefined
  #wanted = true
  ends = 0

  constructor(start: () => Promise<WorkerProcess>) {
    this.#start = start
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#wanted = false
    await this.#worker?.signal('SIGKILL')
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#wanted) {
      // It may end before it reports that it is ready.
      this.#worker = await this.#start().catch(() => undefined)
      if (!this.#wanted) await this.#worker?.signal('SIGKILL')
      await this.#worker?.exited
      if (!this.#wanted) return
      this.ends += 1
      countFault('worker ended by its task')
    }
  }
}

/** One task that ends its process, beside good ones: those complete, and only that one fails. */
export async function poisonTrial(
  fleet: ReturnType<typeof useFleet>,
  { end, workers, goodMs, culpritMs }: PoisonTrial,
): Promise<void> {
  const queue = ownQueue()
  const post = (name: string, input: object) => parseNewTask({ name, input, queue })
  const posted = await fleet.fleet.store.enqueue([
    post('culprit', { end, ms: culpritMs }),
    ...Array.from({ length: GOOD }, () => post('good', { ms: goodMs })),
  ])
  const args = ['--lease', String(LEASE_MS), '--concurrency', '8', '--queues', queue]
  // Little memory is soon used up; and no core is written by a process that aborts.
  const env = { NODE_OPTIONS: '--max-old-space-size=128' }
  const start = (): Promise<WorkerProcess> => WorkerProcess.start({ mongo: fleet.uri, tasks: TASKS, args, env })
  const supervised = Array.from({ length: workers }, () => new Supervised(start))
  try {
    const [culprit, ...good] = await Promise.all(posted.map(({ _id }) => fleet.ended(_id)))
    for (const task of good) {
      expect(task, `beside a task that ends its process by ${end}: ${JSON.stringify(task.attempts)}`).toMatchObject({
        status: 'completed',
        failures: 0,
      })
      checkInvariants(task)
    }
    checkPoison(culprit!)
    expect(supervised.reduce((sum, { ends }) => sum + ends, 0)).toBeGreaterThanOrEqual(3)
  } finally {
    await Promise.all(supervised.map((one) => one.stop()))
  }
}

function checkPoison(task: TaskDocument): void {
  expect(task).toMatchObject({ status: 'failed', lost: 3, failures: 0, error: { code: 'POISON' } })
  // The error names the process, how it ended, and the other tasks there.
  expect(task.error?.message).toMatch(
    /died 3 times in a row.*The worker .+ \(.+, process \d+\) did not renew its session by .*; .* ran there/,
  )
  checkInvariants(task)
}
