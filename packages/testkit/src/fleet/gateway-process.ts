import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { MAIN } from './command.ts'

/** A gateway as users start it: the built command in a process of its own, always at the same address. */
export class GatewayProcess {
  readonly url: string
  readonly #mongo: string
  #child: ChildProcess

  private constructor(url: string, mongo: string, child: ChildProcess) {
    this.url = url
    this.#mongo = mongo
    this.#child = child
  }

  static async start(mongo: string): Promise<GatewayProcess> {
    const { child, url } = await spawned(mongo, '127.0.0.1:0')
    return new GatewayProcess(url, mongo, child)
  }

  /** Of the process that serves now. */
  get pid(): number {
    return this.#child.pid!
  }

  /** Resolves when it is gone, without having had a chance to say anything. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await gone
  }

  /** @throws Error where it ends before it listens, as without a database */
  async restart(): Promise<void> {
    await this.kill()
    this.#child = (await spawned(this.#mongo, new URL(this.url).host)).child
  }
}

async function spawned(mongo: string, listen: string): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, [MAIN, 'gateway', '--listen', listen, '--log-level', 'silent'], {
    env: { ...process.env, TASKFLEET_MONGO_URI: mongo },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const ready = new Promise<string>((resolve) => {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const { event, url } = JSON.parse(line) as { event: string; url: string }
      if (event === 'listening') resolve(url)
    })
  })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the gateway ended with ${code} before it was ready`)
  })
  ended.catch(() => undefined)
  return { child, url: await Promise.race([ready, ended]) }
}
