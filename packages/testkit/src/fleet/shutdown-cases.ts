import type { TaskDocument } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import { fixture, MAIN, OPEN_GATE } from './command.ts'
import { CommandProcess } from './command-process.ts'
import type { useFleet } from './use-fleet.ts'

const TASKS = fixture('stubborn.mjs')

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  /** When it ended, and how long that took after the signal. */
  at: number
  tookMs: number
  said: string
}

/** A worker of stubborn handlers, as users start it. */
class StubbornWorker extends CommandProcess {
  async ready(): Promise<void> {
    await this.line('"listening"')
  }

  async ended(from = Date.now()): Promise<Ended> {
    const [code, signal] = await this.exited
    return { code, signal, at: Date.now(), tookMs: Date.now() - from, said: this.lines.join('\n') }
  }

  tell(signal: NodeJS.Signals): Promise<Ended> {
    void this.signal(signal)
    return this.ended()
  }
}

/** Workers of stubborn handlers, and the ends of their tasks. */
export function stubbornWorkers(fleet: ReturnType<typeof useFleet>) {
  return {
    start: (...args: string[]): StubbornWorker => {
      const command = [MAIN, 'worker', '--tasks', TASKS, '--gate', OPEN_GATE, '--concurrency', '8', ...args]
      const worker = new StubbornWorker([...command, '--lease', '6000', '--log-level', 'warn'], {
        env: { NODE_OPTIONS: '', TASKFLEET_MONGO_URI: fleet.uri },
      })
      fleet.cleanup(() => worker.signal('SIGKILL'))
      return worker
    },
    post: async (name: string): Promise<TaskDocument['_id']> => {
      const [task] = await fleet.fleet.store.enqueue([parseNewTask({ name, input: {} })])
      return task!._id
    },
    running: (...ids: TaskDocument['_id'][]) =>
      Promise.all(ids.map((id) => fleet.until(id, ({ status }) => status === 'running'))),
    find: async (id: TaskDocument['_id']): Promise<TaskDocument> => (await fleet.fleet.store.find(id))!,
  }
}
