import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'

const fleet = useFleet()

/** What a process has loaded once its worker runs. */
async function loadedBy(options: string): Promise<string[]> {
  const program = `
    import { defineTask, TaskRunner } from '@taskfleet/worker'
    import { z } from 'zod'
    const task = defineTask({ name: 'light', input: z.object({}), run: () => 1 })
    const runner = new TaskRunner({ mongo: process.env.MONGO, tasks: [task], queues: ['light'], ${options} })
    await runner.start()
    const { createRequire } = await import('node:module')
    const loaded = Object.keys(createRequire(import.meta.url).cache)
    console.log(JSON.stringify(loaded.map((path) => path.replaceAll('\\\\', '/'))))
    process.exit()`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, NODE_OPTIONS: '', MONGO: fleet.uri },
    maxBuffer: 64 * 1024 * 1024,
  })
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as string[]
}

/** What only some processes need: models of mongoose, and the validator of published schemas. */
const ON_DEMAND = /\/node_modules\/(mongoose|kareem|mquery|ajv|piscina|undici|tsx)\//
const SERVERS = /\/node_modules\/(fastify|socket\.io|engine\.io)\//

test('a worker that does not listen loads no server', async () => {
  expect((await loadedBy('')).filter((path) => SERVERS.test(path))).toEqual([])
  // The same question finds them where there is one.
  expect((await loadedBy("listen: { host: '127.0.0.1', port: 0 }")).some((path) => SERVERS.test(path))).toBe(true)
}, 180_000)

test('the thread that renews the session starts in a program from `--eval`', async () => {
  const program = `
    import { defineTask, TaskRunner } from '@taskfleet/worker'
    import { z } from 'zod'
    const task = defineTask({ name: 'renewed', input: z.object({}), run: () => 1 })
    const log = { child: () => log, bindings: () => ({}) }
    for (const level of ['trace', 'debug', 'info']) log[level] = () => undefined
    for (const level of ['warn', 'error', 'fatal']) log[level] = (about, text) => console.log(level, text)
    const runner = new TaskRunner({ mongo: process.env.MONGO, tasks: [task], queues: ['renewed'], log })
    await runner.start()
    await runner.stop({ grace: 0 })
    process.exit()`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, NODE_OPTIONS: '', MONGO: fleet.uri },
  })
  expect(stdout).not.toContain('the renewing thread failed')
}, 180_000)

test('a worker loads neither mongoose nor what its options do not need', async () => {
  const loaded = await loadedBy('')
  expect(loaded.filter((path) => ON_DEMAND.test(path))).toEqual([])
  expect(loaded.some((path) => /\/node_modules\/mongodb\//.test(path))).toBe(true)
}, 180_000)
