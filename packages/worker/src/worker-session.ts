import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { asError } from '@taskfleet/core'
import { Outcome } from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import type { RunningTask } from './running-task.ts'
import type { Worker } from './worker.ts'

const FIRST_PAUSE_MS = 100
const LAST_PAUSE_MS = 2_000

/** What this worker does when its session can't be renewed, when it is renewed again, and when others have ended it. */
export class WorkerSession {
  readonly #worker: Worker
  readonly #log: Logger
  #id: string
  /** Leases of attempts of which the database takes no end. */
  readonly #refused = new Set<string>()

  constructor(worker: Worker) {
    this.#worker = worker
    this.#log = worker.settings.log
    this.#id = worker.boot
  }

  /** Another one once the last was ended. */
  get id(): string {
    return this.#id
  }

  /** The database takes no end of this attempt: it is not given back, and tried again now and then. */
  refused({ leaseId }: RunningTask): void {
    this.#refused.add(leaseId)
  }

  /** The database does not answer. What runs goes on as far as it may; nothing new is claimed. */
  onDoubt(): void {
    const { running, doubt, settings } = this.#worker
    this.#log.warn({ running: running.size }, 'the session can not be renewed; what runs is in doubt')
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

  /** Others took this process for dead: what it held is theirs. It lives, and goes on under another session. */
  onDead(session: string): void {
    const { running, doubt, underWay, budget } = this.#worker
    doubt.end()
    const lost = running.all.filter((run) => run.session === session)
    this.#log.warn({ session, tasks: lost.length }, 'the session was ended by others; its attempts are abandoned')
    for (const run of lost) running.lose(run)
    if (!budget.begun) underWay.add(this.#beginAnew(session, lost))
  }

  async #beginAnew(ended: string, lost: readonly RunningTask[]): Promise<void> {
    const { sessions, fleet, loop } = this.#worker
    this.#id = randomUUID()
    await this.#untilAnswered(() => sessions.open(this.#id))
    await this.#untilAnswered(() => fleet.workers.replaced(ended))
    await loop.lost()
    for (const run of lost) await this.#untilAnswered(() => this.#survived(run))
  }

  /** A loss was counted of a task whose worker lives; or it is still to be counted, and the task can just be given back. */
  async #survived({ claim }: RunningTask): Promise<void> {
    const { store } = this.#worker.fleet
    const { owned } = await store.settle(claim, Outcome.released())
    if (!owned) await store.takeBackLoss(claim.task._id, claim.leaseId)
  }

  /** Until the database has answered, or this worker stops. */
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
   * Compares what this session holds with what runs here. A claim may have been applied though its answer and the look after it
   * were lost: such a task is given back, since nobody else takes it while this session lives.
   */
  async reconcile(): Promise<void> {
    const { fleet, loop, running } = this.#worker
    const { store } = fleet
    const quiet = !loop.claiming
    const held = await store.held(this.#id)
    for (const { _id, control } of held) if (control !== undefined) running.obey(_id.toHexString(), control)
    if (!quiet || loop.claiming) return
    for (const { leaseId, ...task } of held) {
      const id = task._id.toHexString()
      if (running.get(id)?.leaseId === leaseId || this.#refused.has(leaseId)) continue
      this.#log.warn({ task: id }, 'a claim was applied whose answer was lost; the task is given back')
      await store.settle({ task, leaseId }, Outcome.released())
    }
  }
}
