import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Bed } from './bed.ts'

/** Starts `taskfleet worker` in a process of its own, and resolves when it claims tasks. */
export async function startWorker(bed: Bed, args: string[], env: NodeJS.ProcessEnv = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve('taskfleet/main')), 'worker', ...args], {
    env: { ...process.env, TASKFLEET_MONGO_URI: bed.uri, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  bed.defer(() => child.kill('SIGKILL'))
  await once(createInterface({ input: child.stdout! }), 'line')
  return child
}
