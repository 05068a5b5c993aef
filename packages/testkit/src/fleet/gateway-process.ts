import { MAIN } from './command.ts'
import { CommandProcess } from './command-process.ts'

/** A gateway as users start it: the built command in a process of its own, always at the same address. */
export class GatewayProcess {
  readonly url: string
  readonly #mongo: string
  #process: CommandProcess

  private constructor(url: string, mongo: string, process: CommandProcess) {
    this.url = url
    this.#mongo = mongo
    this.#process = process
  }

  static async start(mongo: string): Promise<GatewayProcess> {
    const { process, url } = await started(mongo, '127.0.0.1:0')
    return new GatewayProcess(url, mongo, process)
  }

  /** The id of the current process. */
  get pid(): number {
    return this.#process.pid
  }

  /** Resolves when the process has ended. It cannot react to the signal. */
  kill(): Promise<void> {
    return this.#process.signal('SIGKILL')
  }

  /** @throws {Error} when it ends before it listens, as without a database */
  async restart(): Promise<void> {
    await this.kill()
    this.#process = (await started(this.#mongo, new URL(this.url).host)).process
  }
}

async function started(mongo: string, listen: string): Promise<{ process: CommandProcess; url: string }> {
  const args = [MAIN, 'gateway', '--listen', listen, '--log-level', 'silent']
  const process = new CommandProcess(args, { env: { TASKFLEET_MONGO_URI: mongo } })
  const { url } = JSON.parse(await process.line('"listening"')) as { url: string }
  return { process, url }
}
