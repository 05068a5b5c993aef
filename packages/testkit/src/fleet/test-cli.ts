import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { runCli } from 'taskfleet'
import { beforeAll, vi } from 'vitest'
import { MAIN } from './command.ts'
import { useFleet } from './use-fleet.ts'

export interface Run {
  code: number | null
  out: string
  err: string
}

/** The command on the test file's own database: as a separate process, or in this one. */
export function useCli() {
  const fleet = useFleet()
  beforeAll(() => {
    if (!existsSync(MAIN)) throw new Error('the command is not built: run `pnpm build` first')
  })

  const start = (args: string[], env: Record<string, string> = {}, stdio?: SpawnOptions['stdio']): ChildProcess => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...process.env, NODE_OPTIONS: '', TASKFLEET_MONGO_URI: fleet.uri, ...env },
      stdio: stdio ?? ['ignore', 'pipe', 'pipe'],
    })
    fleet.cleanup(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    })
    return child
  }

  const ended = async (child: ChildProcess): Promise<Run> => {
    let [out, err] = ['', '']
    child.stdout!.on('data', (chunk) => (out += String(chunk)))
    child.stderr!.on('data', (chunk) => (err += String(chunk)))
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, out, err }
  }

  /** The first line of stdout, which reports that it is ready. */
  const ready = async (child: ChildProcess): Promise<{ event: string; url: string | null; worker: string }> => {
    let text = ''
    for await (const chunk of child.stdout!.iterator({ destroyOnReturn: false })) {
      text += String(chunk)
      if (text.includes('\n')) break
    }
    return JSON.parse(text.split('\n')[0]!)
  }

  /** In this process, since starting a process for each of many mistakes would take most of the time. */
  const runHere = async (args: string[]): Promise<Run> => {
    const written = { out: '', err: '' }
    const to = (where: 'out' | 'err') => (text: unknown) => {
      written[where] += String(text)
      return true
    }
    vi.stubEnv('TASKFLEET_MONGO_URI', fleet.uri)
    const spies = [
      vi.spyOn(process.stdout, 'write').mockImplementation(to('out')),
      vi.spyOn(process.stderr, 'write').mockImplementation(to('err')),
    ]
    try {
      const code = await runCli(args)
      return { code, ...written }
    } finally {
      for (const spy of spies) spy.mockRestore()
      vi.unstubAllEnvs()
    }
  }

  /** One after the other, since they share this process's stdout. */
  let last: Promise<unknown> = Promise.resolve()
  const here = (...args: string[]): Promise<Run> => {
    const mine = last.then(() => runHere(args))
    last = mine.catch(() => undefined)
    return mine
  }

  return {
    fleet,
    start,
    ended,
    ready,
    runHere,
    here,
    run: (...args: string[]): Promise<Run> => ended(start(args)),
    /** The JSON of a command that must succeed. */
    json: async <T>(...args: string[]): Promise<T> => {
      const { code, out, err } = await here(...args, '--json')
      if (code !== 0) throw new Error(`taskfleet ${args.join(' ')} ended with ${code}: ${err}${out}`)
      return JSON.parse(out) as T
    },
  }
}
