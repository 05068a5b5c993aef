import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { TaskRow } from '@taskfleet/protocol'
import { fixture } from '@taskfleet/testkit/fleet/command'
import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { describe, expect, test } from 'vitest'

interface Told {
  event: string
  task?: Partial<TaskRow>
  output?: unknown
  error?: { code: string; message: string }
  id?: string
}

describe('taskfleet worker --ipc', () => {
  const { fleet, start, ended, ready } = useCli()

  /** A worker whose parent this process is, and what it tells. */
  const child = async (queue: string, ...args: string[]) => {
    const worker = start(
      [
        ...['worker', '--tasks', fixture('notify-tasks.mjs'), '--queues', queue, '--ipc', '--log-level', 'error'],
        ...args,
      ],
      {},
      ['ignore', 'pipe', 'inherit', 'ipc'],
    )
    const told: Told[] = []
    const waiting = new Set<() => void>()
    worker.on('message', (message) => {
      told.push(message as Told)
      for (const look of waiting) look()
    })
    /** The first message not taken yet that is as wanted. */
    const next = (event: string, wanted: (message: Told) => boolean = () => true): Promise<Told> =>
      new Promise((resolve) => {
        const look = (): void => {
          const at = told.findIndex((message) => message.event === event && wanted(message))
          if (at < 0) return
          waiting.delete(look)
          resolve(told.splice(at, 1)[0]!)
        }
        waiting.add(look)
        look()
      })
    await ready(worker)
    return { worker, next, told }
  }

  const post = async (queue: string, name = 'outside', input: unknown = { n: 1 }, maxAttempts = 5): Promise<string> => {
    const task = await fleet.fleet.control().enqueue({ name, queue, input, maxAttempts })
    return task._id
  }
  const exit = async (worker: ChildProcess): Promise<unknown> => (await once(worker, 'exit'))[0]

  test('sends events to its parent, and takes the results of the parent', async () => {
    const { worker, next } = await child('told')
    await next('idle')
    const done = await post('told')
    expect(await next('due')).toEqual({ event: 'due', task: { _id: done, name: 'outside' } })
    const { task } = await next('claimed')
    expect(task).toMatchObject({ _id: done, name: 'outside', input: { n: 1 }, attempt: 1, status: 'running' })
    expect(task).not.toHaveProperty('lease')
    worker.send({ complete: done, output: { by: 'parent' } })
    expect(await next('success')).toMatchObject({
      task: { _id: done, status: 'completed' },
      output: { by: 'parent' },
    })
    const own = await post('told', 'inside', {})
    expect(await next('success')).toMatchObject({ task: { _id: own }, output: 'done here' })
    const stored = await fleet.fleet.tasks.findOne({ name: 'outside' })
    expect(stored).toMatchObject({ status: 'completed', output: { by: 'parent' } })
  })

  test('a failure that its parent reports is retried, then final', async () => {
    const { worker, next } = await child('failing')
    const id = await post('failing', 'outside', { n: 1 }, 2)
    await next('claimed')
    worker.send({ fail: id, error: { code: 'NO_PAPER', message: 'The printer is empty' }, attempt: 1 })
    expect(await next('retry')).toMatchObject({ task: { _id: id }, error: { code: 'NO_PAPER' } })
    await next('claimed')
    worker.send({ fail: id, attempt: 1 })
    expect(await next('error')).toMatchObject({ id, error: { code: 'STALE_ATTEMPT' } })
    worker.send({ fail: id, error: 'still empty' })
    expect(await next('fail')).toMatchObject({
      task: { _id: id, status: 'failed' },
      error: { code: 'FAILED_OUTSIDE', message: 'still empty' },
    })
  })

  test('an invalid message gets an error and does no harm', async () => {
    const { worker, next } = await child('odd')
    const id = await post('odd')
    await next('claimed')
    const absent = 'f'.repeat(24)
    const odd: [unknown, string][] = [
      ['hello', 'BAD_MESSAGE'],
      [[], 'BAD_MESSAGE'],
      [7, 'BAD_MESSAGE'],
      [{}, 'BAD_MESSAGE'],
      [{ complete: id, fail: id }, 'BAD_MESSAGE'],
      [{ complete: 7 }, 'BAD_MESSAGE'],
      [{ complete: 'x' }, 'BAD_MESSAGE'],
      [{ complete: id, attempt: 'first' }, 'BAD_MESSAGE'],
      [{ fail: id, error: 7 }, 'BAD_MESSAGE'],
      [{ fail: id, error: { message: {} } }, 'BAD_MESSAGE'],
      [{ complete: absent }, 'NOT_RUNNING'],
    ]
    for (const [message, code] of odd) {
      worker.send(message as object)
      expect([message, (await next('error')).error]).toMatchObject([message, { code, message: expect.any(String) }])
    }
    worker.send({ complete: id })
    expect(await next('success')).toMatchObject({ task: { _id: id }, output: null })
    worker.send({ complete: id })
    expect((await next('error')).error).toMatchObject({ code: 'NOT_RUNNING' })
  })

  test('a parent gets the abort of its work', async () => {
    const { next } = await child('stopped')
    const id = await post('stopped')
    await next('claimed')
    await fleet.fleet.control().cancel({ id, reason: 'not needed' })
    expect(await next('abort')).toMatchObject({
      task: { _id: id },
      error: { code: 'CANCELLED', message: expect.stringContaining('not needed') },
    })
    const { status } = await fleet.ended((await fleet.fleet.tasks.findOne({ queue: 'stopped' }))!._id)
    expect(status).toBe('cancelled')
  })

  test('stops in order when its parent has ended, and releases the parent’s tasks', async () => {
    const { worker, next } = await child('orphaned', '--grace', '1h')
    const id = await post('orphaned')
    await next('claimed')
    worker.disconnect()
    expect(await exit(worker)).toBe(0)
    const task = await fleet.fleet.tasks.findOne({ queue: 'orphaned' })
    expect(task).toMatchObject({ status: 'pending', attempts: [{ outcome: 'released' }] })
    expect(task?._id.toHexString()).toBe(id)
  })

  test('ends by a signal while its parent still runs', async () => {
    const { worker } = await child('signalled')
    worker.kill('SIGTERM')
    expect(await exit(worker)).toBe(0)
  })

  test('without a parent reports the remedy', async () => {
    const { code, out, err } = await ended(start(['worker', '--tasks', fixture('notify-tasks.mjs'), '--ipc']))
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(/fork\(\).*\(BAD_REQUEST\)\n$/)
  })
})
