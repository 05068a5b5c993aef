import { randomUUID } from 'node:crypto'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { Fleet, type TaskDocument, type TaskType } from '@taskfleet/core'
import { type Feed, feedOf, parseId } from '@taskfleet/core/internal'
import { MemoryDatabase } from '@taskfleet/core/memory'
import { type Duration, type EnqueueOptions, hasEnded, milliseconds } from '@taskfleet/protocol'
import type { TaskFactory } from '../task-factory.ts'
import { TaskRunner, type TaskRunnerOptions } from '../task-runner.ts'

export interface TestFleetOptions {
  /** The address of a database to use; by default everything is in memory, and gone with the test. */
  mongo?: string
  tasks: readonly TaskFactory[]
  /** Passed on to the worker that `drain` starts. */
  worker?: Partial<TaskRunnerOptions>
}

/** The dates that decide when something happens. `advance` moves them. */
const DATES = ['runAt', 'order', 'deadline', 'raiseAt', 'startedAt'] as const
const OPEN = { $in: ['pending', 'running', 'paused', 'blocked'] } as const

/** Tests must not wait on a busy machine. */
const NO_GATE = {
  cpu: { lazy: null, all: null },
  memoryLeft: { lazy: null, all: null },
  eventLoopDelayMs: { lazy: null, all: null },
}

/** A fleet for tests of your handlers: in memory, or in a new database that `stop` drops. */
export class TestFleet {
  readonly fleet: Fleet
  readonly #options: TestFleetOptions
  readonly #feed: Feed

  private constructor(fleet: Fleet, options: TestFleetOptions) {
    this.fleet = fleet
    this.#feed = feedOf(fleet.database)
    this.#options = options
  }

  /** @throws {FleetError} as `Fleet.connect` */
  static async start(options: TestFleetOptions): Promise<TestFleet> {
    const test = new TestFleet(await fleetFor(options.mongo), options)
    await test.#feed.start()
    return test
  }

  /** The database's address; `memory:` where there is none. */
  get uri(): string {
    return this.fleet.database.uri
  }

  async stop(): Promise<void> {
    await this.#feed.stop()
    await this.fleet.database.db.dropDatabase()
    await this.fleet.close()
  }

  /** @throws {FleetError} as `Fleet.enqueue` */
  enqueue<Schema extends StandardSchemaV1>(
    type: TaskType<Schema>,
    input: StandardSchemaV1.InferInput<Schema>,
    options?: EnqueueOptions,
  ): Promise<TaskDocument> {
    return this.fleet.enqueue(type, input, options)
  }

  /**
   * Starts a worker that runs all due tasks, those that become due meanwhile included. Resolves when no task is left to run now.
   *
   * @param options.scheduled moves time from date to date, so that retries and scheduled tasks run too
   * @returns the tasks that have ended, in the order of their ends
   */
  async drain({ scheduled = false }: { scheduled?: boolean } = {}): Promise<TaskDocument[]> {
    const ended: string[] = []
    const runner = new TaskRunner({
      mongo: this.fleet.database,
      tasks: this.#options.tasks,
      queues: await this.#queues(),
      thresholds: NO_GATE,
      ...this.#options.worker,
    })
    const onEnd = ({ task }: { task: { _id: string } }): number => ended.push(task._id)
    runner.on('success', onEnd)
    runner.on('fail', onEnd)
    await runner.start()
    try {
      for (;;) {
        await this.#until(async () => (await this.#due()) === 0)
        // A task may have ended a moment before the tasks that wait for it are unblocked.
        await this.fleet.store.unblockAll()
        if ((await this.#due()) > 0) continue
        const next = scheduled ? await this.#nextDate() : null
        if (next === null) break
        await this.advance(Math.max(1, next.getTime() - this.fleet.database.clock.now().getTime()))
      }
    } finally {
      await runner.stop({ grace: 0 })
    }
    const tasks = await Promise.all(ended.map((id) => this.fleet.store.find(parseId(id))))
    return tasks.filter((task) => task !== null)
  }

  /** Lets time pass for every task that has not ended, by moving its dates back. */
  async advance(time: Duration): Promise<void> {
    const amount = -Math.round(milliseconds(time))
    const moved = (path: string): object => ({
      $cond: [
        { $eq: [{ $ifNull: [`$${path}`, null] }, null] },
        '$$REMOVE',
        { $dateAdd: { startDate: `$${path}`, unit: 'millisecond', amount } },
      ],
    })
    const set = Object.fromEntries(DATES.map((path) => [path, moved(path)]))
    await this.fleet.tasks.updateMany({ status: OPEN }, [{ $set: { ...set, rev: { $add: ['$rev', 1] } } }])
    const throttles = this.fleet.database.db.collection('throttles')
    await throttles.updateMany({}, [{ $set: { until: moved('until') } }])
  }

  /** Resolves with a task when it has ended, or when `until` returns true. */
  async waitForTask(
    id: string | TaskDocument['_id'],
    until: (task: TaskDocument) => boolean = ({ status }) => hasEnded(status),
  ): Promise<TaskDocument> {
    let found: TaskDocument | null = null
    await this.#until(async () => {
      found = await this.fleet.store.find(parseId(id))
      return found !== null && until(found)
    })
    return found!
  }

  /** Checks again whenever a task has changed. */
  async #until(holds: () => Promise<boolean>): Promise<void> {
    let changed: (() => void) | undefined
    let missed = true
    const notice = (): void => {
      missed = true
      changed?.()
    }
    const unsubscribe = this.#feed.subscribe({ change: notice, lost: notice })
    try {
      for (;;) {
        missed = false
        if (await holds()) return
        if (!missed) await new Promise<void>((resolve) => (changed = resolve))
      }
    } finally {
      unsubscribe()
    }
  }

  async #queues(): Promise<string[]> {
    const queues = await this.fleet.tasks.distinct('queue', {})
    return [...new Set(['default', ...queues])]
  }

  /** The waiting tasks that the handlers under test can run. */
  get #mine() {
    const versions = this.#options.tasks.map(({ name, oldestVersion, version }) => ({
      name,
      version: { $gte: oldestVersion, $lte: version },
    }))
    return { status: 'pending', $or: versions } as const
  }

  /** How many tasks run or could run now. */
  async #due(): Promise<number> {
    const now = this.fleet.database.clock.now()
    return this.fleet.tasks.countDocuments({ $or: [{ ...this.#mine, runAt: { $lte: now } }, { status: 'running' }] })
  }

  async #nextDate(): Promise<Date | null> {
    const [next] = await this.fleet.tasks
      .find(this.#mine, { projection: { runAt: 1 } })
      .sort({ runAt: 1 })
      .limit(1)
      .toArray()
    return next?.runAt ?? null
  }
}

async function fleetFor(mongo: string | undefined): Promise<Fleet> {
  if (mongo === undefined) return new MemoryDatabase().fleet()
  const server = new URL(mongo)
  server.pathname = `/test_${randomUUID().slice(0, 8)}`
  return Fleet.connect(server.href)
}
