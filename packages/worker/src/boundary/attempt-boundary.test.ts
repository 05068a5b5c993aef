import { EventEmitter } from 'node:events'
import { createReadStream } from 'node:fs'
import { createServer, connect as dial } from 'node:net'
import { pipeline, Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TaskDocument } from '@taskfleet/core'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from '../define-task.ts'
import type { HandlerContext } from '../handler.ts'
import { TaskRunner } from '../task-runner.ts'

const LEAKS: Record<string, (context: HandlerContext<unknown>) => unknown> = {
  'a promise without await': () => void Promise.reject(new Error('leaked')),
  'one that is rejected later': () => void sleep(5).then(() => Promise.reject(new Error('leaked'))),
  'a promise rejected with no error': () => void Promise.reject({ message: 'leaked' }),
  'a timer': () => setTimeout(() => throwIt(), 5),
  setImmediate: () => setImmediate(throwIt),
  'process.nextTick': () => process.nextTick(throwIt),
  'an emitter without a listener for errors': () =>
    setTimeout(() => new EventEmitter().emit('error', new Error('leaked')), 5),
  "a socket's own event": ({ signal }) => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('x'))
    signal.addEventListener('abort', () => server.close())
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      dial(port, '127.0.0.1').on('data', throwIt)
    })
  },
  'a socket that can not connect': () => dial(1, '127.0.0.1'),
  'a stream that can not open its file': () => createReadStream('/there/is/no/such/file'),
  'the callback of a pipeline': () =>
    pipeline(Readable.from(['a']), new Writable({ write: (_chunk, _encoding, done) => done(new Error('x')) }), throwIt),
  'a listener of its signal': ({ signal }) => signal.addEventListener('abort', throwIt),
}

function throwIt(): never {
  throw new Error('leaked')
}

const leaky = defineTask({
  name: 'leaky',
  input: z.object({ kind: z.string(), stays: z.boolean().default(true) }),
  retry: { maxAttempts: 1 },
  run: async (context) => {
    LEAKS[context.input.kind]!(context as HandlerContext<unknown>)
    if (!context.input.stays) return 'done'
    await sleep(20_000, undefined, { signal: context.signal }).catch(() => undefined)
    return 'went on to its end'
  },
})

/** Ends when its test ends it. */
const neighbour = defineTask({
  name: 'neighbour',
  input: z.object({}),
  run: ({ socket }) => new Promise((resolve) => socket.on('end', () => resolve('whole'))),
})

describe('uncaught errors', () => {
  const fleet = useFleet()

  const logged: Record<string, unknown>[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => void logged.push(JSON.parse(line)) })
  const start = async (): Promise<TaskRunner> => {
    const runner = new TaskRunner({ mongo: fleet.uri, tasks: [leaky, neighbour, afterwards], concurrency: 8, log })
    fleet.cleanup(() => runner.stop({ grace: 0 }))
    await runner.start()
    return runner
  }
  const completes = async (runner: TaskRunner, task: TaskDocument): Promise<void> => {
    await runner.attempt(task._id.toHexString())!.message('end', null)
    expect(await fleet.ended(task._id)).toMatchObject({ status: 'completed', output: 'whole', attempt: 1, lost: 0 })
  }

  test.for(Object.keys(LEAKS).filter((kind) => !kind.includes('signal')))(
    'are a failure of their own attempt and of no other: %s',
    async (kind) => {
      const runner = await start()
      const other = await fleet.fleet.enqueue(neighbour, {})
      await fleet.runsAt(runner, other)
      const task = await fleet.fleet.enqueue(leaky, { kind })
      const { status, error } = await fleet.ended(task._id)
      expect({ status, code: error?.code }).toEqual({ status: 'failed', code: 'UNHANDLED_IN_HANDLER' })
      expect(error?.message).toMatch(/leaked|ECONNREFUSED|ENOENT/)
      if (kind !== 'a promise rejected with no error')
        expect(error?.stack).toMatch(/attempt-boundary\.test|ECONN|ENOENT/)
      await completes(runner, other)
    },
  )

  test('count as well when the handler returns in the same turn', async () => {
    await start()
    const task = await fleet.fleet.enqueue(leaky, { kind: 'a promise without await', stays: false })
    expect((await fleet.ended(task._id)).error).toMatchObject({ code: 'UNHANDLED_IN_HANDLER' })
  })

  test('of a listener of the signal do not change the reason of the abort', async () => {
    const runner = await start()
    const task = await fleet.fleet.enqueue(leaky, { kind: 'a listener of its signal' })
    await fleet.runsAt(runner, task)
    await fleet.fleet.store.cancel(task._id, 'test')
    expect((await fleet.ended(task._id)).status).toBe('cancelled')
  })

  const ends = new EventEmitter()
  const afterwards = defineTask({
    name: 'afterwards',
    input: z.object({}),
    run: () => {
      const go = new Promise((resolve) => ends.once('now', resolve))
      void go.then(() => setTimeout(throwIt, 1))
      return 'done'
    },
  })

  test('after the end of their attempt are logged with its id, and change nothing', async () => {
    const runner = await start()
    const other = await fleet.fleet.enqueue(neighbour, {})
    await fleet.runsAt(runner, other)
    const task = await fleet.fleet.enqueue(afterwards, {})
    expect((await fleet.ended(task._id)).status).toBe('completed')
    ends.emit('now')
    await eventually(() =>
      logged.some(
        (line) => line.task === task._id.toHexString() && /uncaught error of a handler/.test(String(line.msg)),
      ),
    )
    await completes(runner, other)
    expect((await fleet.fleet.store.find(task._id))?.status).toBe('completed')
  })

  test('do not reach the listeners of the program, which get its own errors', async () => {
    const heard: unknown[] = []
    const receive = (error: unknown): void => void heard.push(error)
    const [rejections, exceptions] = (['unhandledRejection', 'uncaughtException'] as const).map((event) => {
      const before = process.listeners(event as 'uncaughtException')
      process.removeAllListeners(event)
      process.on(event, receive)
      return () => {
        process.off(event, receive)
        for (const listener of before) process.on(event as 'uncaughtException', listener)
      }
    })
    try {
      await start()
      const task = await fleet.fleet.enqueue(leaky, { kind: 'a promise without await' })
      const timer = await fleet.fleet.enqueue(leaky, { kind: 'a timer' })
      for (const { _id } of [task, timer]) expect((await fleet.ended(_id)).status).toBe('failed')
      expect(heard).toEqual([])
      const own = new Error("the program's own")
      setTimeout(() => {
        throw own
      }, 1)
      void Promise.reject(own)
      await eventually(() => heard.length === 2)
      expect(heard).toEqual([own, own])
    } finally {
      rejections!()
      exceptions!()
    }
  })
})
