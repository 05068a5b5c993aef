import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommandProcess } from '@taskfleet/testkit/fleet/command-process'

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

/** The command of `pnpm start`, in a folder of its own. */
export class Demo extends CommandProcess {
  /** Its working directory, which `stop` removes. `.taskfleet` is in it. */
  readonly folder: string

  constructor(folder: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    super([MAIN, '--port', '0', ...args], { env, cwd: folder })
    this.folder = folder
  }

  /** Stops it as Ctrl-C would, and removes its folder. */
  async stop(): Promise<void> {
    await this.signal('SIGTERM')
    await this.closed
    await rm(this.folder, { recursive: true, force: true })
  }
}

const newFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'taskfleet-demo-'))

/** Starts it on the database of the test run, under a name of its own. */
export async function startDemo(args: readonly string[], mongoUri: string): Promise<Demo> {
  const folder = await newFolder()
  const address = new URL(mongoUri)
  address.pathname = `/demo_${folder.slice(-6)}`
  return new Demo(folder, ['--folder', folder, ...args], { TASKFLEET_MONGO_URI: address.href })
}

/** Starts it on a database that it starts itself. */
export async function startOwnDemo(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Demo> {
  return new Demo(await newFolder(), args, { ...env, TASKFLEET_MONGO_URI: '' })
}
