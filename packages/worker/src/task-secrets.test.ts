import { FleetError } from '@taskfleet/protocol'
import { scriptedTask } from '@taskfleet/testkit/fleet/scripted-task'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import { handler } from './isolate/test-handlers.mjs'
import { formsOf, resolveSecrets } from './task-secrets.ts'

const VALUE = 'hun"ter two/2'
const known = (name: string): string | undefined => ({ api: VALUE, pin: '12', empty: '' })[name]
const REFERENCE = { secret: 'api' } as unknown as string

describe('a reference to a secret', () => {
  test('is replaced by its value', async () => {
    expect(await resolveSecrets({ a: { secret: 'api' }, b: [{ secret: 'api' }] }, known)).toEqual({
      input: { a: VALUE, b: [VALUE] },
      values: [VALUE],
    })
    const plain = { a: 1 }
    expect(await resolveSecrets(plain, known)).toEqual({ input: plain, values: [] })
  })

  test('without a value on the worker is an error with a code and its name', async () => {
    for (const name of ['other', 'empty']) {
      await expect(resolveSecrets([{ secret: name }], known)).rejects.toMatchObject({
        code: 'SECRET_MISSING',
        field: name,
        message: expect.stringContaining(`'${name}'`),
      })
    }
  })

  test('is masked in each form, unless it is very short', () => {
    expect(formsOf([VALUE, '12'])).toEqual(['hun%22ter%20two%2F2', 'hun\\"ter two/2', VALUE])
  })
})

describe('a worker with secrets', () => {
  const fleet = useFleet()
  const input = z.object({ token: z.string().min(5), more: z.string().optional() })

  test('masks them in the error of a message', async () => {
    const queue = ownQueue()
    const asked = defineTask({
      name: 'asked',
      input,
      run: ({ input: { token }, socket, signal }) => {
        socket.on('plain', () => Promise.reject(new TypeError(`no access with ${token}`)))
        socket.on('coded', () => {
          throw new FleetError('NO_ACCESS', `no access with ${token}`, { field: 'token' })
        })
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      },
    })
    const runner = await fleet.runner({ queue, tasks: [asked], secrets: known })
    const task = await fleet.fleet.enqueue(asked, { token: REFERENCE }, { queue })
    const run = await eventually(() => runner.attempt(task._id.toHexString()))
    const failed = (name: string): Promise<unknown> => run.message(name, {}).catch((error: unknown) => error)
    await eventually(async () => ((await failed('plain')) as FleetError).code !== 'NO_SUCH_MESSAGE')
    expect(await failed('plain')).toMatchObject({ name: 'TypeError', message: 'no access with ***' })
    expect(await failed('coded')).toMatchObject({ code: 'NO_ACCESS', field: 'token', message: 'no access with ***' })
    expect(String(((await failed('plain')) as Error).stack)).not.toContain(VALUE)
  })

  test('gives them to the handler alone: nothing that is stored, logged or shown contains one', async () => {
    const queue = ownQueue()
    const lines: string[] = []
    const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) })
    const spending = defineTask({
      name: 'spending',
      input,
      retry: { maxAttempts: 1 },
      run: async ({ input: { token }, log, progress, checkpoint, signal }) => {
        log.info(`with ${token} and ${JSON.stringify({ token })} and ?q=${encodeURIComponent(token)}`)
        progress({ done: token === VALUE ? 1 : 0, message: `uses ${token}` })
        await checkpoint.save({ step: 1 })
        const refused = await checkpoint.save({ deep: [{ token }] }).catch((error: { code?: string }) => error.code)
        log.info(`refused with ${String(refused)}`)
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        throw Object.assign(new Error(`it was not ${token}`), { code: `E ${token}` })
      },
    })
    const runner = await fleet.runner({ queue, tasks: [spending], secrets: known, log })
    const { _id } = await fleet.fleet.enqueue(spending, { token: REFERENCE }, { queue, timeout: '3s' })
    const id = _id.toHexString()
    const shown = await eventually(() => {
      const now = runner.attempt(id)?.snapshot()
      return now !== undefined && now.log.length > 1 && now
    })
    const ended = await fleet.ended(_id)
    await runner.stop()
    const logged = await fleet.fleet.control().taskLog({ id })
    expect(ended).toMatchObject({ status: 'failed', input: { token: { secret: 'api' } }, checkpoint: { step: 1 } })
    expect(ended.progress).toMatchObject({ done: 1, message: 'uses ***' })
    expect(logged.map(({ message }) => message)).toEqual([
      'with *** and {"token":"***"} and ?q=***',
      'refused with SECRET_IN_CHECKPOINT',
    ])
    const all = JSON.stringify([shown, ended, logged, lines, await fleet.fleet.errors.list({})])
    expect(all).not.toMatch(/ter(\s|%20)two/)
  })

  test('without the named one fails the attempt and retries', async () => {
    const queue = ownQueue()
    const secrets = new Map<string, string>()
    const task = defineTask({
      name: 'later',
      input,
      retry: { backoff: { base: 10, jitter: false } },
      run: ({ input: { token } }) => token.length,
    })
    const runner = await fleet.runner({ queue, tasks: [task], secrets: (name) => secrets.get(name) })
    runner.on('retry', () => secrets.set('api', VALUE))
    const { _id } = await fleet.fleet.enqueue(task, { token: REFERENCE }, { queue })
    const ended = await fleet.ended(_id)
    expect(ended).toMatchObject({ status: 'completed', output: VALUE.length, failures: 1 })
    expect(ended.attempts[0]).toMatchObject({ error: { code: 'SECRET_MISSING' } })
  })

  test('checks the input with the value in it', async () => {
    const queue = ownQueue()
    const task = defineTask({ name: 'checked', input, run: () => 1 })
    await fleet.runner({ queue, tasks: [task], secrets: known })
    const { _id } = await fleet.fleet.enqueue(task, { token: { secret: 'pin' } as unknown as string }, { queue })
    expect(await fleet.ended(_id)).toMatchObject({
      status: 'failed',
      error: { code: 'INPUT_INVALID', message: expect.stringContaining('input.token') },
    })
  })

  test.each(['thread', 'process'] as const)('gives them to a handler in a %s of its own', async (kind) => {
    const queue = ownQueue()
    await fleet.runner({ queue, tasks: [handler('echo', kind)], secrets: known })
    const { _id } = await fleet.fleet.enqueue(handler('echo', kind), { pin: { secret: 'pin' } }, { queue })
    expect(await fleet.ended(_id)).toMatchObject({ output: { pin: '12' }, input: { pin: { secret: 'pin' } } })
  })

  test('without secrets leaves the object as it is', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue })
    const steps = [{ do: 'return' as const, value: { secret: 'api' } }]
    const { _id } = await fleet.fleet.enqueue(scriptedTask(), { steps }, { queue })
    expect(await fleet.ended(_id)).toMatchObject({ output: { secret: 'api' } })
  })
})
