import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TaskDocument } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import { fixture, MAIN } from './command.ts'
import { eventually, type useFleet } from './use-fleet.ts'

const TASKS = fixture('stubborn.mjs')
const OPEN_GATE = JSON.stringify({
  cpu: { lazy: null },
  memoryLeft: { lazy: null, all: null },
  eventLoopDelayMs: { lazy: null, all: null },
})

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  /** When it was gone, and how long that took since it was told to. */
  at: number
  tookMs: number
  said: string
}

/** A worker of stubborn handlers, as users start it, and what became of its tasks. */
export function stubbornWorkers(fleet: ReturnType<typeof useFleet>) {
  const start = (...args: string[]) => {
    const command = [MAIN, 'worker', '--tasks', TASKS, '--gate', OPEN_GATE, '--concurrency', '8', ...args]
    const child = spawn(process.execPath, [...command, '--lease', '6000', '--log-level', 'warn'], {
      env: { ...process.env, NODE_OPTIONS: '', TASKFLEET_MONGO_URI: fleet.uri },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    for (const pipe of [child.stdout, child.stderr]) pipe!.on('data', (chunk) => (said += String(chunk)))
    const gone = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
    fleet.cleanup(async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await gone
    })
    const ended = async (from = Date.now()): Promise<Ended> => {
      const [code, signal] = await gone
      return { code, signal, at: Date.now(), tookMs: Date.now() - from, said }
    }
    return {
      ended,
      ready: () => eventually(() => said.includes('"listening"')),
      tell: (signal: NodeJS.Signals): Promise<Ended> => {
        child.kill(signal)
        return ended()
      },
      alive: () => isAlive(child),
    }
  }

  const post = async (name: string): Promise<TaskDocument['_id']> => {
    const [task] = await fleet.fleet.store.enqueue([parseNewTask({ name, input: {} })])
    return task!._id
  }

  return {
    start,
    post,
    running: (...ids: TaskDocument['_id'][]) =>
      Promise.all(ids.map((id) => fleet.until(id, ({ status }) => status === 'running'))),
    find: async (id: TaskDocument['_id']): Promise<TaskDocument> => (await fleet.fleet.store.find(id))!,
  }
}

function isAlive({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null
}
