import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { TaskDocument } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import type { AttemptOutcome } from '@taskfleet/protocol'
import { expect } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import type { useFleet } from '../fleet/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./effects.tasks.mjs', import.meta.url))
const LEASE_MS = 1_000
/** The replacement need not be quick, and must not lose its lease on a busy machine. */
const RESCUER_LEASE_MS = 2_000

/** A point at which a worker fails, and the possible attempts of its task at the end. */
export interface FaultCase {
  point: string
  /** Several, if it can't be known whether the write under way counts. */
  outcomes: AttemptOutcome[][]
  /** Whether a worker that was only stopped there finds that another worker has its task. */
  fenced: boolean
  /** The worker gets a signal while the handler runs. */
  shutsDown?: true
}

const REPEATED: AttemptOutcome[] = ['lost', 'completed']
export const FAULT_CASES: readonly FaultCase[] = [
  { point: 'claim.before', outcomes: [['completed']], fenced: false },
  { point: 'claim.acked', outcomes: [REPEATED], fenced: true },
  { point: 'handler.start', outcomes: [REPEATED], fenced: true },
  { point: 'handler.middle', outcomes: [REPEATED], fenced: true },
  { point: 'complete.before', outcomes: [REPEATED], fenced: true },
  { point: 'complete.sent', outcomes: [['completed'], REPEATED], fenced: false },
  { point: 'complete.acked', outcomes: [['completed']], fenced: false },
  { point: 'release.sent', outcomes: [['released', 'completed'], REPEATED], fenced: false, shutsDown: true },
]

export const faultCase = (point: string): FaultCase => FAULT_CASES.find((one) => one.point === point)!

interface Note {
  id: string
  attempt: number
  lease: string
  /** `unsure` in place of an effect. */
  what: 'begin' | 'effect' | 'unsure'
}

/** One task, one worker that fails at a point, and one that replaces it. */
export class FaultTrial {
  readonly #fleet: ReturnType<typeof useFleet>
  readonly #journal: string
  readonly #queue: string
  readonly #workers: WorkerProcess[] = []

  constructor(fleet: ReturnType<typeof useFleet>, journal: string, queue: string) {
    this.#fleet = fleet
    this.#journal = journal
    this.#queue = queue
  }

  /** Its worker is killed at the point: the task ends elsewhere, once. */
  async kill(fault: FaultCase): Promise<void> {
    const { victim, task, before } = await this.#strike(fault, 'kill')
    await victim.exited
    await this.#worker()
    await this.#checkEnd(task, fault, before)
  }

  /** Its worker is stopped there for longer than its lease: when it comes back, its writes no longer count. */
  async stop(fault: FaultCase): Promise<void> {
    const { victim, task, before } = await this.#strike(fault, 'stop')
    const rescuer = await this.#worker()
    const ended = await this.#fleet.ended(task._id)
    await this.#leaseOver(victim, task)
    await rescuer.signal('SIGKILL')
    await victim.signal('SIGCONT')
    if (fault.fenced) await victim.line('the result is discarded')
    if (fault.shutsDown) await victim.exited
    // It works again, and has finished everything that it had begun before.
    else await this.#fleet.ended((await this.#post())._id)
    expect(await this.#fleet.fleet.store.find(task._id), 'a late write').toEqual(ended)
    await this.#checkEnd(task, fault, before)
  }

  async end(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((worker) => worker.signal('SIGKILL')))
  }

  /** `before`: how many attempts a busy machine lost before the one that was struck. */
  async #strike(
    fault: FaultCase,
    action: 'kill' | 'stop',
  ): Promise<{ victim: WorkerProcess; task: TaskDocument; before: number }> {
    const victim = await this.#worker(LEASE_MS, { TASKFLEET_FAULTS: `${fault.point}=${action}` })
    const task = await this.#post()
    const struck = victim.line('"fault"')
    if (fault.shutsDown) {
      await this.#fleet.until(task._id, ({ status }) => status === 'running')
      void victim.signal('SIGTERM')
    }
    await struck
    countFault(action === 'kill' ? 'worker killed at a point' : 'worker stopped at a point')
    const { attempt } = (await this.#fleet.fleet.store.find(task._id))!
    return { victim, task, before: Math.max(0, attempt - 1) }
  }

  async #worker(leaseMs = RESCUER_LEASE_MS, env: NodeJS.ProcessEnv = {}): Promise<WorkerProcess> {
    const args = ['--lease', String(leaseMs), '--concurrency', '1', '--grace', '1ms', '--queues', this.#queue]
    const worker = await WorkerProcess.start({ mongo: this.#fleet.uri, tasks: TASKS, args, env })
    this.#workers.push(worker)
    return worker
  }

  async #post(): Promise<TaskDocument> {
    const input = { journal: this.#journal, steps: 4, stepMs: 40 }
    const [task] = await this.#fleet.fleet.store.enqueue([
      parseNewTask({ name: 'effects', input, queue: this.#queue, maxAttempts: 50 }),
    ])
    return task!
  }

  /** If no worker had to take the task over, its lease may not have expired yet. */
  async #leaseOver(victim: WorkerProcess, task: TaskDocument): Promise<void> {
    const { attempts } = (await this.#fleet.fleet.store.find(task._id))!
    const own = attempts.find(({ worker }) => worker === victim.id)
    const over = (own?.claimedAt ?? task.createdAt).getTime() + 2 * LEASE_MS
    const left = over - this.#fleet.database.clock.now().getTime()
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, left))
  }

  async #checkEnd({ _id }: TaskDocument, { outcomes }: FaultCase, before: number): Promise<void> {
    const ended = await this.#fleet.ended(_id)
    checkInvariants(ended)
    const ends = ended.attempts.map(({ outcome }) => outcome)
    expect(ends.slice(0, before)).toEqual(Array.from({ length: before }, () => 'lost'))
    expect(outcomes).toContainEqual(ends.slice(before))
    expect(ended).toMatchObject({ status: 'completed', output: { attempt: ended.attempt } })
    // From outside: every effect belongs to an attempt on record, and none came after the next attempt had begun.
    const notes = (await readFile(this.#journal, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Note)
      .filter(({ id }) => id === _id.toHexString())
    for (const { attempt, lease } of notes) expect(ended.attempts[attempt - 1]?.lease).toBe(lease)
    const effects = notes.filter(({ what }) => what === 'effect').map(({ attempt }) => attempt)
    expect(effects).toEqual([...effects].sort((a, b) => a - b))
    const steps = notes.filter(({ what, attempt }) => what !== 'begin' && attempt === ended.attempt)
    expect(steps).toHaveLength(4)
  }
}
