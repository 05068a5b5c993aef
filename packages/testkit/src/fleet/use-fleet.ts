import { FleetClient, type FleetClientOptions } from '@taskfleet/client'
import { Fleet, type TaskDocument } from '@taskfleet/core'
import type { EnqueueOptions } from '@taskfleet/protocol'
import { TaskRunner, type TaskRunnerOptions } from '@taskfleet/worker'
import { afterAll, afterEach } from 'vitest'
import { useDatabase } from '../use-database.ts'
import { type Step, scriptedTask } from './scripted-task.ts'

/** A fleet on the test file's own database; runners and clients end with the test that started them. */
export function useFleet() {
  const test = useDatabase()
  const cleanups: (() => Promise<unknown> | unknown)[] = []
  afterEach(async () => {
    const failures: unknown[] = []
    for (const cleanup of cleanups.splice(0).reverse()) {
      try {
        await cleanup()
      } catch (error) {
        failures.push(error)
      }
    }
    // Thrown last: what one test leaves running disturbs others of its process.
    if (failures.length > 0) throw new AggregateError(failures, 'cleanups of the test failed')
  })
  let fleet: Fleet | undefined
  let watch: TaskWatch | undefined
  afterEach(() => {
    watch?.stop()
    watch = undefined
  })
  afterAll(() => {
    fleet = undefined
  })

  return {
    get uri(): string {
      return test.uri
    },
    get database() {
      return test.database
    },
    get fleet(): Fleet {
      fleet ??= new Fleet(test.database)
      return fleet
    },
    cleanup(act: () => Promise<unknown> | unknown): void {
      cleanups.push(act)
    },
    /**
     * A worker that serves the scripted task; its queue is the test's own unless it says otherwise.
     *
     * @param options.prepare called before the start, to add listeners: tasks that wait begin during it
     */
    async runner(
      options: Partial<TaskRunnerOptions> & { queue?: string; prepare?: (runner: TaskRunner) => void } = {},
    ): Promise<TaskRunner> {
      const { queue = 'default', prepare, ...over } = options
      const runner = new TaskRunner({ mongo: test.uri, tasks: [scriptedTask()], queues: [queue], ...over })
      cleanups.push(() => runner.stop({ grace: 0 }))
      prepare?.(runner)
      await runner.start()
      return runner
    },
    client(url: string, options: FleetClientOptions = {}): FleetClient {
      const client = new FleetClient({ url, ...options })
      cleanups.push(() => client.close())
      return client
    },
    async post(steps: Step[], options: EnqueueOptions & { label?: string } = {}): Promise<TaskDocument> {
      const { label, ...rest } = options
      return this.fleet.enqueue(scriptedTask(), { steps, ...(label === undefined ? {} : { label }) }, rest)
    },
    /** Resolves when the task matches. It reads the database, since tests of events must not depend on events. */
    until(id: TaskDocument['_id'], wanted: (task: TaskDocument) => boolean): Promise<TaskDocument> {
      watch ??= new TaskWatch(this.fleet.tasks)
      return watch.until(id, wanted)
    },
    /** Resolves when the task's attempt runs at this worker. */
    async runsAt(runner: TaskRunner, task: TaskDocument): Promise<void> {
      await eventually(() => runner.attempt(task._id.toHexString()))
    },
    ended(id: TaskDocument['_id']): Promise<TaskDocument> {
      return this.until(id, ({ status }) => status === 'completed' || status === 'failed' || status === 'cancelled')
    },
  }
}

/** The tasks that tests wait for, read in one query: a hundred single queries would overload a slow server. */
class TaskWatch {
  readonly #tasks: Fleet['tasks']
  readonly #waiting = new Set<Waiting>()
  #asking = false

  constructor(tasks: Fleet['tasks']) {
    this.#tasks = tasks
  }

  until(id: TaskDocument['_id'], wanted: (task: TaskDocument) => boolean): Promise<TaskDocument> {
    return new Promise((resolve, reject) => {
      this.#waiting.add({ id, wanted, resolve, reject })
      if (!this.#asking) void this.#ask()
    })
  }

  /** A test that has ended no longer waits. If it ended by its time limit, this shows what it waited for in vain. */
  stop(): void {
    for (const { last } of this.#waiting) console.error('a test ended while it waited for this task:', last)
    this.#waiting.clear()
  }

  async #ask(): Promise<void> {
    this.#asking = true
    while (this.#waiting.size > 0) {
      const asked = [...this.#waiting]
      try {
        const found = await this.#tasks.find({ _id: { $in: asked.map(({ id }) => id) } }).toArray()
        const byId = new Map(found.map((task) => [task._id.toHexString(), task]))
        for (const waiting of asked) this.#settle(waiting, byId.get(waiting.id.toHexString()))
      } catch (error) {
        for (const { reject } of asked) reject(error)
        for (const waiting of asked) this.#waiting.delete(waiting)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    this.#asking = false
  }

  #settle(waiting: Waiting, task: TaskDocument | undefined): void {
    waiting.last = task
    if (task === undefined || !waiting.wanted(task)) return
    this.#waiting.delete(waiting)
    waiting.resolve(task)
  }
}

type Waiting = {
  id: TaskDocument['_id']
  last?: TaskDocument | undefined
  wanted: (task: TaskDocument) => boolean
  resolve: (task: TaskDocument) => void
  reject: (error: unknown) => void
}

/** Waits until a condition holds; fails by the test's own time limit. */
export async function eventually<T>(look: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
