import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { newSigningKey } from '@taskfleet/core'
import { parseId, parseNewTask } from '@taskfleet/core/internal'
import type { WorkerRow } from '@taskfleet/protocol'
import { fixture } from '@taskfleet/testkit/fleet/command'
import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { describe, expect, test } from 'vitest'

interface Told {
  headers: IncomingHttpHeaders
  body: string
}

describe('taskfleet worker', () => {
  const { fleet, start, ended, ready, here, json } = useCli()

  /** A web server that hears of errors. */
  const hook = async (): Promise<{ url: string; told: Promise<Told> }> => {
    const server = createServer()
    fleet.cleanup(() => server.close())
    const told = new Promise<Told>((resolve) => {
      server.on('request', async (request, response) => {
        let body = ''
        for await (const chunk of request) body += String(chunk)
        response.end()
        resolve({ headers: request.headers, body })
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}/errors`, told }
  }

  test('follows its load within a range of slots, and claims nothing beyond its thresholds', async () => {
    const gate = JSON.stringify({ memoryLeft: { lazy: 0.9999, all: 0.9998, margin: 0 }, closeAfter: 1 })
    const worker = start([
      ...['worker', '--tasks', fixture('tasks.mjs'), '--queues', 'gated', '--name', 'gated', '--log-level', 'error'],
      ...['--concurrency', '2-3', '--gate', gate],
    ])
    await ready(worker)
    const [row] = (await json<WorkerRow[]>('workers')).filter(({ name }) => name === 'gated')
    expect(row).toMatchObject({ gate: { open: false, lazy: false, reason: expect.stringContaining('memory') } })
    expect([2, 3]).toContain(row!.slots)
  })

  test.each([
    ['no package.json', undefined],
    ['one that says module', '{"type":"module"}'],
    ['one that says commonjs', '{"type":"commonjs"}'],
  ])('reads tasks in TypeScript from a folder with %s', async (_which, manifest) => {
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-tasks-'))
    fleet.cleanup(() => rm(folder, { recursive: true }))
    await mkdir(join(folder, 'node_modules', '@taskfleet'), { recursive: true })
    const packageRoot = fileURLToPath(new URL('../../worker', import.meta.url))
    await symlink(packageRoot, join(folder, 'node_modules', '@taskfleet', 'worker'))
    await symlink(join(packageRoot, 'node_modules', 'zod'), join(folder, 'node_modules', 'zod'))
    if (manifest !== undefined) await writeFile(join(folder, 'package.json'), manifest)
    const source = `import { defineTask } from '@taskfleet/worker'
      import { z } from 'zod'
      const answer: number = 42
      export const typed = defineTask({ name: 'typed', input: z.object({}), run: () => answer })
      export default typed`
    await writeFile(join(folder, 'tasks.ts'), source)
    const queue = ownQueue()
    await ready(start(['worker', '--tasks', join(folder, 'tasks.ts'), '--queues', queue, '--log-level', 'error']))
    const { _id } = await json<{ _id: string }>('enqueue', 'typed', '{}', '--queue', queue)
    expect(await fleet.ended(parseId(_id))).toMatchObject({ status: 'completed', output: 42 })
  })

  test('fails unsigned tasks with --signing required, with any environment, and needs a trusted key for it', async () => {
    const { trusted } = newSigningKey('ed25519')
    const queue = ownQueue()
    const args = ['worker', '--tasks', fixture('tasks.mjs'), '--queues', queue, '--log-level', 'error']
    const signing = { TASKFLEET_SIGNING: 'off', TASKFLEET_TRUSTED_KEYS: trusted }
    await ready(start([...args, '--signing', 'required'], signing))
    const { _id } = await json<{ _id: string }>('enqueue', 'count', '{"to":1}', '--queue', queue)
    expect(await fleet.ended(parseId(_id))).toMatchObject({ status: 'failed', error: { code: 'UNSIGNED_TASK' } })
    const keyless = await ended(start([...args, '--signing', 'warn']))
    expect([keyless.code, keyless.err]).toEqual([1, expect.stringContaining('(NO_TRUSTED_KEYS)')])
    expect((await here(...args, '--signing', 'always')).err).toContain('Allowed choices are off, warn, required')
    expect((await here('worker', '--help')).out).toMatch(/--signing <mode> [\s\S]*TASKFLEET_SIGNING/)
  })

  test('posts a recurring error, signed with the secret of its environment', async () => {
    const { url, told } = await hook()
    // As stored by a producer of an earlier version, which checks nothing.
    await fleet.fleet.store.enqueue([parseNewTask({ name: 'count', input: { to: 'many' }, queue: 'faulty' })])
    const worker = start(
      [
        ...['worker', '--tasks', fixture('tasks.mjs'), '--queues', 'faulty', '--log-level', 'error'],
        ...['--error-webhook', url, '--error-threshold', '1', '--error-period', '1m', '--concurrency', 'auto'],
      ],
      { TASKFLEET_WEBHOOK_SECRET: 'hush' },
    )
    await ready(worker)
    const { headers, body } = await told
    expect(JSON.parse(body)).toMatchObject({
      event: 'recurringError',
      error: { code: 'INPUT_INVALID', tasks: ['count'] },
    })
    const [, seconds, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['taskfleet-signature']))!
    expect(createHmac('sha256', 'hush').update(`${seconds}.${body}`).digest('hex')).toBe(signature)
  })
})
