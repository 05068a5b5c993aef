import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { asError } from '@taskfleet/core'
import { type Held, Outcome } from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import type { RunningTask } from './running-task.ts'
import type { Worker } from './worker.ts'

const FIRST_PAUSE_MS = 100
const LAST_PAUSE_MS = 2_000

/** What a worker does when its session can't be renewed, is renewed again, or was ended by others. */
export class WorkerSession {
  readonly #worker: Worker
  readonly #log: Logger
  /** Changes when the session was ended. */
  id: string
  /** Leases of attempts whose end the database refuses to record. */
  readonly #refused = new Set<string>()

  constructor(worker: Worker) {
    this.#worker = worker
    this.#log = worker.settings.log
    this.id = worker.boot
  }

  /** The database refuses to record the end of this attempt. The write is repeated from time to time, and the task is not released. */
  refused({ leaseId }: RunningTask): void {
    this.#refused.add(leaseId)
  }

  /** The database does not answer. Attempts go on for as long as their handlers allow; nothing is claimed. */
  onDoubt(): void {
    const { running, doubt, settings } = this.#worker
    this.#log.warn({ running: running.size }, 'the session can not be renewed; running attempts are in doubt')
    doubt.begin()
    for (const run of running.all) doubt.apply(run, settings.factories.get(run.claim.task.name)!)
  }

  onProven(): void {
    const { running, doubt, loop, reaper } = this.#worker
    const lastedMs = doubt.end()
    this.#log.info({ lastedMs: Math.round(lastedMs), running: running.size }, 'the session is renewed again')
    loop.wake()
    reaper.wake()
  }

  /** Other workers considered this process dead, and take back its tasks. It goes on with another session. */
  onDead(session: string): void {
    const { running, doubt, underWay, budget } = this.#worker
    doubt.end()
    const lost = running.all.filter((run) => run.session === session)
    this.#log.warn({ session, tasks: lost.length }, 'the session was ended by others; its attempts are abandoned')
    for (const run of lost) running.lose(run)
    if (!budget.begun) underWay.add(this.#beginAnew(session))
  }

  async #beginAnew(ended: string): Promise<void> {
    const { sessions, fleet, feed, loop } = this.#worker
    this.id = randomUUID()
    feed.refresh?.()
    await this.#untilAnswered(() => sessions.open(this.id))
    await this.#untilAnswered(() => fleet.workers.replaced(ended))
    await loop.lost()
  }

  /** An attempt ended after its task was lost, but this worker lives: takes back the counted loss, or else releases the task. */
  async survived({ claim, leaseId }: RunningTask): Promise<void> {
    if (this.#refused.has(leaseId)) return
    const { store } = this.#worker.fleet
    await this.#untilAnswered(async () => {
      const { owned } = await store.settle(claim, Outcome.released())
      if (!owned) await store.takeBackLoss(claim.task._id, leaseId)
    })
  }

  /** Repeats a call until the database answers or this worker stops. */
  async #untilAnswered(act: () => Promise<unknown>): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; !this.#worker.budget.begun; pause = Math.min(LAST_PAUSE_MS, pause * 2)) {
      try {
        await act()
        return
      } catch (error) {
        this.#log.warn({ err: asError(error) }, 'the database does not answer yet')
        await sleep(pause)
      }
    }
  }

  /**
   * Compares the tasks of this session with those that run here. A claim may have been applied although its answer was lost. Such a task
   * is released, since no other worker can claim it while this session lives.
   */
  async reconcile(): Promise<void> {
    const { fleet, loop, running } = this.#worker
    if (loop.isNew) return
    const { store } = fleet
    const unknown = async (): Promise<Held[]> => {
      const quiet = !loop.claiming
      const held = await store.held(this.id)
      for (const { _id, control } of held) if (control !== undefined) running.obey(_id.toHexString(), control)
      if (!quiet || loop.claiming) return []
      return held.filter(({ _id, leaseId }) => {
        return running.get(_id.toHexString())?.leaseId !== leaseId && !this.#refused.has(leaseId)
      })
    }
    const before = new Set((await unknown()).map(({ leaseId }) => leaseId))
    if (before.size === 0) return
    // An attempt that ended while they were read is not held any more.
    for (const { leaseId, ...task } of (await unknown()).filter((one) => before.has(one.leaseId))) {
      this.#log.warn({ task: task._id.toHexString() }, 'the answer to a claim was lost; the task is released')
      await store.settle({ task, leaseId }, Outcome.released())
    }
  }
}
