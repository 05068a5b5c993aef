import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface Demo {
  child: ChildProcess
  /** Its working directory, removed by `stop`. */
  folder: string
  /** Everything printed so far. */
  lines: string[]
  /** Resolves with the first line that fits, printed before or after. */
  line(pattern: RegExp): Promise<string>
  /** Resolves with the exit code. */
  ended: Promise<number | null>
  /** Stops it as Ctrl-C would, and removes its folder. */
  stop(): Promise<void>
}

/** The command of `pnpm start`, on the run's database under a name of its own. */
export async function startDemo(args: readonly string[], mongoUri: string): Promise<Demo> {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-demo-'))
  const address = new URL(mongoUri)
  address.pathname = `/demo_${folder.slice(-6)}`
  return runDemo(folder, ['--port', '0', '--folder', folder, ...args], { TASKFLEET_MONGO_URI: address.href })
}

/** The same command on a database that it starts itself. */
export async function startOwnDemo(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Demo> {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-demo-'))
  return runDemo(folder, ['--port', '0', ...args], { ...env, TASKFLEET_MONGO_URI: '' })
}

/** With the folder as its working directory, so that `.taskfleet` is in it. */
function runDemo(folder: string, args: readonly string[], env: NodeJS.ProcessEnv): Demo {
  const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
  const child = spawn(process.execPath, [main, ...args], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines: string[] = []
  const waiting = new Set<() => void>()
  const note = (line: string): void => {
    lines.push(line)
    for (const look of waiting) look()
  }
  createInterface({ input: child.stdout }).on('line', note)
  createInterface({ input: child.stderr }).on('line', note)
  const ended = once(child, 'close').then(([code]) => {
    for (const look of waiting) look()
    return code as number | null
  })
  return {
    child,
    folder,
    lines,
    ended,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = lines.find((line) => pattern.test(line))
          if (found !== undefined) resolve(found)
          else if (child.exitCode !== null)
            reject(new Error(`it ended without a line like ${pattern}:\n${lines.join('\n')}`))
          else return
          waiting.delete(look)
        }
        waiting.add(look)
        look()
      }),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}
