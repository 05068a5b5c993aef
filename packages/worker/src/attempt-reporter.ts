import { asError, type Fleet } from '@taskfleet/core'
import { Service, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import type { RunningTask } from './running-task.ts'

export interface AttemptReporterOptions {
  fleet: Fleet
  log: Logger
  /** The attempts that are in flight. */
  running: () => Iterable<RunningTask>
  /** False while the database is away: then nothing is written. */
  mayWrite: () => boolean
}

/** How often watchers get progress, in milliseconds. */
const PUBLISH_MS = 100
/** How often progress and log lines are stored, in milliseconds. */
const STORE_MS = 1_000
/** Durations are for estimates: they are stored with each fifth write. */
const DURATIONS_EVERY = 5

/** Passes the reports of all attempts in a process to their watchers, and to the database in one write. */
export class AttemptReporter extends Service {
  readonly #options: AttemptReporterOptions
  readonly #fleet: Fleet
  readonly #log: Logger
  #durations = new Map<string, number[]>()
  #stores = 0

  constructor(options: AttemptReporterOptions) {
    super()
    this.#options = options
    this.#fleet = options.fleet
    this.#log = options.log
  }

  protected override async onStart(): Promise<void> {
    this.defer(() => this.#flushDurations())
    this.defer(() => this.#fleet.rollUps.close())
    const publish = async (): Promise<void> => {
      for (const run of this.#options.running()) run.publish()
    }
    const { log } = this.#options
    await this.use(new WatchLoop({ look: publish, everyMs: PUBLISH_MS, log, failed: 'watchers could not be notified' }))
    const store = { look: () => this.#store(), everyMs: STORE_MS, log }
    await this.use(new WatchLoop({ ...store, failed: 'the reports of attempts could not be stored' }))
  }

  async #store(): Promise<void> {
    if (!this.#options.mayWrite()) return
    const runs = [...this.#options.running()]
    this.#stores += 1
    await Promise.all([
      this.#storeProgress(runs),
      this.#storeLog(runs, false),
      this.#stores % DURATIONS_EVERY === 0 ? this.#flushDurations() : undefined,
    ])
  }

  /** Stores the last lines of an attempt and, if it has completed, its duration. */
  async ended(run: RunningTask, completed: boolean): Promise<void> {
    if (completed) {
      const { name } = run.claim.task
      this.#durations.set(name, [...(this.#durations.get(name) ?? []).slice(-49), performance.now() - run.beganAt])
    }
    await this.#storeLog([run], true)
  }

  async #flushDurations(): Promise<void> {
    const taken = this.#durations
    this.#durations = new Map()
    await this.#fleet.durations.add(taken)
  }

  async #storeProgress(runs: readonly RunningTask[]): Promise<void> {
    const taken = runs.flatMap((run) => {
      const report = run.takeReport()
      return report === undefined ? [] : [{ run, report }]
    })
    try {
      await this.#fleet.store.report(
        taken.map(({ run, report }) => ({ id: run.claim.task._id, leaseId: run.leaseId, ...report })),
      )
    } catch (error) {
      this.#log.warn({ err: asError(error) }, 'progress could not be stored yet')
      for (const { run, report } of taken) run.giveBackReport(report)
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
