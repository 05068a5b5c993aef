import { asError, type Fleet } from '@taskfleet/core'
import type { Logger } from 'pino'
import type { RunningTask } from './running-task.ts'

/** Durations are for estimates: now and then is enough. */
const DURATIONS_EVERY = 5

/** Writes down what the attempts of a process say: progress and log lines of all of them in one write each. */
export class AttemptReporter {
  readonly #fleet: Fleet
  readonly #log: Logger
  #durations = new Map<string, number[]>()
  #ticks = 0

  constructor(fleet: Fleet, log: Logger) {
    this.#fleet = fleet
    this.#log = log
  }

  /** Once a second. */
  async tick(running: Iterable<RunningTask>): Promise<void> {
    const runs = [...running]
    this.#ticks += 1
    await Promise.all([
      this.#storeProgress(runs),
      this.#storeLog(runs, false),
      this.#ticks % DURATIONS_EVERY === 0 ? this.flushDurations() : undefined,
    ])
  }

  /** The last lines of an attempt, and how long it took if that says something about the next ones. */
  async ended(run: RunningTask, completed: boolean): Promise<void> {
    if (completed) {
      const { name } = run.claim.task
      this.#durations.set(name, [...(this.#durations.get(name) ?? []).slice(-49), performance.now() - run.beganAt])
    }
    await this.#storeLog([run], true)
  }

  async flushDurations(): Promise<void> {
    const taken = this.#durations
    this.#durations = new Map()
    await this.#fleet.durations.add(taken)
  }

  async #storeProgress(runs: readonly RunningTask[]): Promise<void> {
    const taken = runs.flatMap((run) => {
      const progress = run.takeProgress()
      return progress === undefined ? [] : [{ run, progress }]
    })
    try {
      await this.#fleet.store.report(
        taken.map(({ run, progress }) => ({ id: run.claim.task._id, leaseId: run.leaseId, progress })),
      )
    } catch (error) {
      this.#log.warn({ err: asError(error) }, 'progress could not be stored yet')
      for (const { run } of taken) run.giveBackProgress()
    }
  }

  async #storeLog(runs: readonly RunningTask[], last: boolean): Promise<void> {
    const taken = runs.map((run) => ({ run, lines: run.takeLog({ last }) }))
    try {
      await this.#fleet.logs.append(
        taken.map(({ run: { claim }, lines }) => ({
          task: claim.task._id,
          attempt: claim.task.attempt,
          lease: claim.leaseId,
          lines,
        })),
      )
    } catch (error) {
      this.#log.warn({ err: asError(error) }, 'log lines could not be stored yet')
      for (const { run, lines } of taken) run.giveBackLog(lines)
    }
  }
}
