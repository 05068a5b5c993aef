import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { fixture } from '@taskfleet/testkit/fleet/command'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { afterEach, expect, test } from 'vitest'

const own = useDatabase()
const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const TASKS = fixture('tasks.mjs')
let child: ChildProcess
afterEach(() => void child.kill('SIGKILL'))

async function served(...args: string[]): Promise<void> {
  const node = ['--conditions=taskfleet-source', '--import', 'tsx', MAIN, ...args, '--log-level', 'silent']
  const env = { ...process.env, TASKFLEET_MONGO_URI: own.uri }
  child = spawn(process.execPath, node, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout!, 'data')
}

test.each([
  ['a worker', ['worker', '--tasks', TASKS]],
  ['a gateway', ['gateway', '--listen', '127.0.0.1:0']],
])('%s with --stop-with-parent stops in order when its standard input ends', async (_, args) => {
  await served(...args, '--stop-with-parent')
  const exited = once(child, 'exit')
  child.stdin!.end()
  expect(await exited).toEqual([0, null])
})

test('a signal stops it as usual, although its standard input stays open', async () => {
  await served('gateway', '--listen', '127.0.0.1:0', '--stop-with-parent')
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
})
