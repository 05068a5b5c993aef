import { MAIN, OPEN_GATE } from '../fleet/command.ts'
import { CommandProcess } from '../fleet/command-process.ts'

/** Built, because it runs in a process of its own. */
const ARM = new URL('../../dist/faults/arm.js', import.meta.url).href

export interface WorkerProcessOptions {
  mongo: string
  /** The file that exports its tasks. */
  tasks: string
  args?: readonly string[]
  /** Modules that are loaded before the command. */
  imports?: readonly string[]
  env?: NodeJS.ProcessEnv
}

/** A worker as users start it: the built command in a process of its own. */
export class WorkerProcess extends CommandProcess {
  id = ''

  /** Resolves when it is ready. */
  static async start({
    mongo,
    tasks,
    args = [],
    imports = [],
    env = {},
  }: WorkerProcessOptions): Promise<WorkerProcess> {
    const first = env.TASKFLEET_FAULTS === undefined ? imports : [ARM, ...imports]
    const loaded = first.flatMap((module) => ['--import', module])
    const command = [...loaded, MAIN, 'worker', '--tasks', tasks, '--log-level', 'warn', '--gate', OPEN_GATE, ...args]
    const worker = new WorkerProcess(command, { env: { ...env, TASKFLEET_MONGO_URI: mongo } })
    worker.id = (JSON.parse(await worker.line('"listening"')) as { worker: string }).worker
    return worker
  }
}
