import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { toTaskError } from '@taskfleet/core/internal'
import { AttemptAborted, FleetError, RetryAfterError, SnoozeError, UnrecoverableError } from '@taskfleet/protocol'
import { eventually } from '@taskfleet/testkit/fleet/use-fleet'
import { Binary, ObjectId } from 'mongodb'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { PredecessorResult } from '../handler.ts'
import { processArguments, threadArguments } from './exec-argv.ts'
import { Isolates, type IsolatesOptions } from './isolates.ts'
import type { IsolateOption } from './isolation.ts'
import { type TestContextOptions, testContext } from './test-context.ts'
import { type ActName, handler } from './test-handlers.mjs'

vi.mock('../files.ts', () => import('./test-built-files.ts'))

const started: Isolates[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map((isolates) => isolates.stop()))
})

function useIsolates(options: IsolatesOptions = {}): Isolates {
  const isolates = new Isolates(options)
  started.push(isolates)
  return isolates
}

/** Starts a handler; what it does to its context is seen in `seen`. */
function start(isolate: IsolateOption, name: ActName, options: TestContextOptions = {}, isolates = useIsolates()) {
  const seen = testContext(options)
  const run = isolates.run(handler(name, isolate), seen.context)
  // A test may look at it later only.
  run.result.catch(() => undefined)
  return { ...run, seen, isolates }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const pidIn = async (seen: ReturnType<typeof testContext>): Promise<number> =>
  Number((await seen.line(/^pid (\d+)/))[1])
const thrownBy = (result: Promise<unknown>): Promise<unknown> =>
  result.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )

describe.each(['process', 'thread'] as const)('a handler in a %s of its own', (kind) => {
  test('inherits all variables except those that give access to the fleet', async () => {
    const secrets = {
      TASKFLEET_MONGO_URI: 'hidden',
      TASKFLEET_KEY: 'hidden',
      TASKFLEET_CONFIG: 'hidden',
      TASKFLEET_SECRET: 'hidden',
      TASKFLEET_SECRET_MAIL: 'hidden',
      TASKFLEET_SECRETS_DIR: 'hidden',
      TASKFLEET_WEBHOOK_SECRET: 'hidden',
      TASKFLEET_SIGNING_KEY: 'hidden',
      TASKFLEET_TRUSTED_KEYS: 'hidden',
      MONGO_URL: 'hidden',
      MY_MONGODB_PASSWORD: 'hidden',
      DATABASE_URL: 'mongodb://ana:hidden@host/',
    }
    for (const [name, value] of Object.entries({ ...secrets, TASKFLEET_DB: 'seen' })) vi.stubEnv(name, value)
    onTestFinished(() => void vi.unstubAllEnvs())
    const isolates = useIsolates({ address: secrets.DATABASE_URL })
    const found = await start(kind, 'surroundings', {}, isolates).result
    expect(JSON.stringify(found)).not.toMatch(/hidden/)
    expect(found).toMatchObject({ env: { TASKFLEET_DB: 'seen', PATH: process.env.PATH } })
  })

  test('gets its input and returns its output with dates, bytes and ids as they were', async () => {
    const input = {
      at: new Date(1_000),
      bytes: new Binary(Buffer.from([1, 2])),
      id: new ObjectId(),
      many: [{ id: new ObjectId() }],
      none: null,
    }
    const output = (await start(kind, 'echo', { input }).result) as typeof input
    expect(output).toEqual(input)
    expect(output.at).toBeInstanceOf(Date)
    expect(output.many[0]!.id).toBeInstanceOf(ObjectId)
  })

  test('runs in an isolate, and the next task of the module reuses it', async () => {
    const isolates = useIsolates()
    const first = (await start(kind, 'identity', {}, isolates).result) as { pid: number; threadId: number }
    expect(first.pid === process.pid).toBe(kind === 'thread')
    expect(first.threadId === 0).toBe(kind === 'process')
    for (let n = 0; n < 5; n += 1) expect(await start(kind, 'identity', {}, isolates).result).toEqual(first)
  })

  test('reports its progress, its log and its events', async () => {
    const { result, seen } = start(kind, 'talk')
    expect(await result).toBeUndefined()
    expect(seen.progress.at(-1)).toEqual({ done: 2, total: 2, ratio: 1 })
    expect(seen.lines).toEqual([
      { level: 'info', message: 'begins' },
      { level: 'warn', message: 'goes on' },
    ])
    expect(seen.events).toEqual([{ name: 'hello', data: { from: 'inside' } }])
  })

  test('limits the rate of progress and log lines', async () => {
    const calls = 60_000
    const { result, seen } = start(kind, 'chatter', { input: calls })
    const from = performance.now()
    await result
    const most = 2 + (performance.now() - from) / 50
    expect(seen.progress.at(-1)).toEqual({ done: calls })
    expect(seen.progress.length).toBeLessThanOrEqual(most)
    expect(seen.lines.length).toBeLessThanOrEqual(most * 200)
    expect(seen.lines.at(-1)?.message).toBe(`line ${calls}`)
  })

  test('reads its checkpoint and saves the next', async () => {
    const saved: unknown[] = []
    const save = async (state: unknown): Promise<void> => void saved.push(state)
    const { result } = start(kind, 'resume', { checkpoint: { at: new Date(1), n: 1 }, save })
    expect(await result).toEqual({ before: { at: new Date(1), n: 1 }, after: { at: new Date(5_000), n: 2 } })
    expect(saved).toEqual([{ at: new Date(5_000), n: 2 }])
  })

  test('reads the outputs of its predecessors, with their types', async () => {
    const [id, at] = [new ObjectId(), new Date(5)]
    const results = [
      ['b', { status: 'completed', output: { id, at } }],
      ['a', { status: 'removed' }],
    ] satisfies [string, PredecessorResult][]
    const { result } = start(kind, 'gathers', { results })
    expect(await result).toEqual({ ids: ['b', 'a'], outputs: [{ id, at }, null], map: true })
  })

  test('gets an error when its checkpoint is refused because it lost the task', async () => {
    const save = (): Promise<void> => Promise.reject(new AttemptAborted('LEASE_LOST', 'no longer ours'))
    expect(await start(kind, 'fenced', { save }).result).toBe('LEASE_LOST')
  })

  test("answers a watcher's messages for as long as it listens", async () => {
    const { result, seen } = start(kind, 'answers')
    await seen.line(/listening/)
    expect(await seen.answers.get('twice')!(21)).toBe(42)
    await expect(seen.answers.get('fails')!(null)).rejects.toMatchObject({ code: 'WRONG_QUESTION' })
    await seen.answers.get('stop-listening')!(null)
    expect([...seen.answers.keys()]).not.toContain('twice')
    await seen.answers.get('end')!(null)
    expect(await result).toBe('asked to')
    expect(seen.answers.size).toBe(0)
  })

  test('knows its task', async () => {
    expect(await start(kind, 'task').result).toEqual({
      real: true,
      id: '0123456789abcdef01234567',
      name: 'task',
      attempt: 3,
      queue: 'q',
      key: 'k',
      deadline: new Date(9_000),
      worker: 'w',
      leaseId: 'lease-1',
      owned: true,
      confirmed: true,
    })
  })

  test('sees that its lease can no longer be proved', async () => {
    let owned = true
    const { result, seen } = start(kind, 'untilDisowned', { owned: () => owned })
    await seen.line(/owned: true/)
    owned = false
    expect(await result).toBe('disowned')
  })

  test('gets the abort and its reason', async () => {
    const { result, seen } = start(kind, 'stopsOnAbort')
    await seen.line(/waiting/)
    seen.abort(new AttemptAborted('CANCELLED', 'Cancelled by Ann'))
    expect(await thrownBy(result)).toMatchObject({ code: 'CANCELLED', message: 'Cancelled by Ann' })
  })

  test('does not begin when its signal was aborted before', async () => {
    const seen = testContext()
    const reason = new AttemptAborted('CANCELLED', 'too late')
    seen.abort(reason)
    expect(await thrownBy(useIsolates().run(handler('talk', kind), seen.context).result)).toBe(reason)
    expect(seen.lines).toEqual([])
  })

  test('blocks no other task, and is killed when it ignores its signal', async () => {
    const { result, kill, seen, isolates } = start(kind, 'blocks')
    await seen.line(/^pid/)
    expect(await start(kind, 'echo', { input: 'neighbour' }, isolates).result).toBe('neighbour')
    const reason = new AttemptAborted('TIMED_OUT', 'too slow')
    seen.abort(reason)
    await kill()
    expect(await thrownBy(result)).toBe(reason)
    expect(await start(kind, 'echo', { input: 'next' }, isolates).result).toBe('next')
  })

  test('is killed before it began', async () => {
    const { result, kill, seen } = start(kind, 'blocks')
    await kill()
    expect(await thrownBy(result)).toMatchObject({ code: 'HANDLER_CRASHED' })
    expect(seen.lines).toEqual([])
  })

  test('is killed soon after its lease was lost, even if it is busy', async () => {
    const { result, seen } = start(kind, 'blocks', {}, useIsolates({ lostGraceMs: 50 }))
    await seen.line(/^pid/)
    seen.abort(new AttemptAborted('LEASE_LOST', 'gone'))
    expect(await thrownBy(result)).toMatchObject({ code: 'LEASE_LOST' })
  })

  test('that exits fails its attempt, and its neighbours go on', async () => {
    const isolates = useIsolates()
    const neighbour = start(kind, 'answers', {}, isolates)
    await neighbour.seen.line(/listening/)
    const error = await thrownBy(start(kind, 'exits', {}, isolates).result)
    expect(error).toMatchObject({ code: 'HANDLER_CRASHED', name: 'FleetError' })
    expect((error as Error).message).toContain('exited with code 7')
    await neighbour.seen.answers.get('end')!(null)
    expect(await neighbour.result).toBe('asked to')
  })

  test('that dies of an uncaught error names it', async () => {
    const error = (await thrownBy(start(kind, 'lateThrow').result)) as Error
    expect(error).toMatchObject({ code: 'UNHANDLED_IN_HANDLER', cause: { name: 'TypeError' } })
    expect(error.message).toContain('TypeError: nobody catches this')
    expect(error.stack).toContain('test-handlers')
  })

  test('that exceeds its memory limit fails its attempt with the reason', async () => {
    const error = (await thrownBy(start({ kind, memoryMb: 64 }, 'hungry').result)) as Error
    expect(error).toMatchObject({ code: 'HANDLER_CRASHED' })
    expect(error.message).toContain('ran out of memory (memoryMb is 64)')
  })

  test('throws errors that keep their class, code, stack and cause', async () => {
    const isolates = useIsolates()
    const thrown = (input: string) => thrownBy(start(kind, 'throws', { input }, isolates).result)
    const fatal = await thrown('unrecoverable')
    expect(fatal).toBeInstanceOf(UnrecoverableError)
    expect(fatal).toMatchObject({ code: 'NO_WAY', message: 'for good', name: 'UnrecoverableError' })
    expect((fatal as Error).stack).toContain('test-handlers')
    const later = await thrown('retryAfter')
    expect(later).toBeInstanceOf(RetryAfterError)
    expect(later).toMatchObject({ code: 'LATER', delayMs: 1_234 })
    const snooze = await thrown('snooze')
    expect(snooze).toBeInstanceOf(SnoozeError)
    expect(snooze).toMatchObject({ delayMs: 5_000 })
    const field = await thrown('field')
    expect(field).toBeInstanceOf(FleetError)
    expect(field).toMatchObject({ code: 'INPUT_ODD', field: 'url', cause: { message: 'underneath' } })
    expect(await thrown('system')).toMatchObject({ name: 'RangeError', code: 'ENOSPC', message: 'full' })
    expect(await thrown('text')).toBe('just a text')
  })

  test('any value it throws is its own error, and the isolate can be used again', async () => {
    const isolates = useIsolates()
    const stored = async (input: string) =>
      toTaskError(await thrownBy(start(kind, 'throws', { input }, isolates).result))
    expect(await stored('null')).toMatchObject({ code: 'HANDLER_FAILED', message: 'null' })
    expect(await stored('frozen')).toMatchObject({ code: 'HANDLER_FAILED', message: 'frozen' })
    expect(await stored('getter')).toMatchObject({ code: 'MINE', name: 'UnrecoverableError' })
    expect(await stored('proxy')).toMatchObject({ code: 'HANDLER_FAILED', message: expect.stringContaining('inside') })
    expect(await stored('stack')).toMatchObject({ code: 'HANDLER_FAILED', message: 'odd' })
    expect(await stored('huge')).toMatchObject({ code: 'HANDLER_FAILED', message: expect.stringMatching(/^x{4000}$/) })
    expect(await start(kind, 'echo', { input: 1 }, isolates).result).toBe(1)
  })

  test('gets an error at once for a value that can not be stored, with its path', async () => {
    const isolates = useIsolates()
    for (const as of ['output', 'checkpoint', 'progress']) {
      for (const odd of ['a Set', 'an invalid Date', '5,000 levels', 'a getter that throws']) {
        const { result, seen } = start(kind, 'odd', { input: { as, kind: odd } }, isolates)
        const code = `BAD_${as.toUpperCase()}`
        expect(await thrownBy(result), `${as} ${odd}`).toMatchObject({ code, field: expect.stringContaining('.v') })
        expect([seen.progress, seen.events]).toEqual([[], []])
      }
    }
  })

  test('drops an event that can not be sent, and goes on', async () => {
    const isolates = useIsolates()
    for (const odd of ['a Set', 'a function', '5,000 levels', 'a getter that throws']) {
      const { result, seen } = start(kind, 'odd', { input: { as: 'event', kind: odd } }, isolates)
      await result
      expect(seen.events).toEqual([])
      expect(JSON.stringify(seen)).toContain("the event 'odd' was not sent: ")
    }
  })

  test('reports an input or output that can not be sent, and the isolate can be used again', async () => {
    const isolates = useIsolates()
    const output = start(kind, 'odd', { input: { kind: 'a function' } }, isolates)
    expect(await thrownBy(output.result)).toMatchObject({ code: 'BAD_OUTPUT', field: 'output.v' })
    const odd = start(kind, 'echo', { input: { act: () => 1 } }, isolates)
    expect(await thrownBy(odd.result)).toMatchObject({ code: 'NOT_CLONEABLE' })
    expect(await start(kind, 'echo', { input: 1 }, isolates).result).toBe(1)
  })

  test('needs a module that exports it', async () => {
    const isolates = useIsolates()
    const { context } = testContext()
    const isolate = { kind, memoryMb: undefined }
    expect(() => isolates.run({ name: 'lost', isolate, module: undefined }, context)).toThrow(/import\.meta\.url/)
    const { module } = handler('echo', kind)
    const missing = await thrownBy(isolates.run({ name: 'missing', isolate, module }, context).result)
    expect(missing).toBeInstanceOf(UnrecoverableError)
    expect(missing).toMatchObject({ code: 'BAD_DEFINITION' })
  })

  test('ends with the worker that stops', async () => {
    const { result, isolates, seen } = start(kind, 'blocks')
    await seen.line(/^pid/)
    await isolates.stop()
    expect(await thrownBy(result)).toMatchObject({ code: 'HANDLER_CRASHED' })
    await isolates.stop()
    expect(() => start(kind, 'echo', {}, isolates)).toThrow(/stopped/)
  })
})

describe('a process', () => {
  test('that was killed from outside fails the attempt and names the signal', async () => {
    const { result, seen } = start('process', 'waits')
    process.kill(await pidIn(seen), 'SIGKILL')
    const error = (await thrownBy(result)) as Error
    expect(error).toMatchObject({ code: 'HANDLER_CRASHED' })
    expect(error.message).toContain('was ended by SIGKILL')
  })

  test('is limited in its memory beside the heap too', async () => {
    const error = (await thrownBy(start({ kind: 'process', memoryMb: 32 }, 'hungryBeside').result)) as Error
    expect(error).toMatchObject({ code: 'HANDLER_CRASHED' })
    expect(error.message).toContain('ran out of memory (memoryMb is 32)')
  })

  test('leaves the signals of the terminal to its worker', async () => {
    const { result, seen } = start('process', 'answers')
    const pid = Number((await seen.line(/listening in (\d+)/))[1])
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.kill(pid, signal)
    expect(await seen.answers.get('twice')!(1)).toBe(2)
    expect(alive(pid)).toBe(true)
    await seen.answers.get('end')!(null)
    expect(await result).toBe('asked to')
  })

  test('is ended when it was idle for long enough, and at the stop', async () => {
    const short = useIsolates({ idleMs: 30 })
    const first = (await start('process', 'identity', {}, short).result) as { pid: number }
    await eventually(() => !alive(first.pid))
    const long = useIsolates()
    const second = (await start('process', 'identity', {}, long).result) as { pid: number }
    const busy = start('process', 'blocks', {}, long)
    const third = await pidIn(busy.seen)
    await long.stop()
    expect([second.pid, third].map(alive)).toEqual([false, false])
  })

  test('ends with its worker, even when its handler blocks', async () => {
    const worker = spawn(
      process.execPath,
      ['--conditions=taskfleet-source', '--import', 'tsx', fileURLToPath(new URL('./test-worker.ts', import.meta.url))],
      { stdio: ['ignore', 'pipe', 'inherit'], cwd: fileURLToPath(new URL('../..', import.meta.url)) },
    )
    onTestFinished(() => void worker.kill('SIGKILL'))
    const [line] = await once(createInterface({ input: worker.stdout }), 'line')
    const pid = Number(String(line).replace('pid ', ''))
    expect(alive(pid)).toBe(true)
    worker.kill('SIGKILL')
    await eventually(() => !alive(pid))
  })
})

describe('the flags of an isolate', () => {
  const execArgv = ['--inspect=9229', '--import', 'tsx', '-e', 'code', '--enable-source-maps', '--max-old-space-size=9']

  test('are the flags of the worker that apply to an isolate too', () => {
    expect(processArguments({ memoryMb: 64, fromSources: true, execArgv })).toEqual([
      '--import',
      'tsx',
      '--enable-source-maps',
      '--conditions=taskfleet-source',
      '--max-old-space-size=64',
    ])
    expect(threadArguments({ fromSources: false, execArgv })).toEqual(['--enable-source-maps'])
    const files = ['--env-file=.env', '--env-file', '.env', '--env-file-if-exists=.env', '--no-warnings']
    expect(processArguments({ memoryMb: undefined, fromSources: false, execArgv: files })).toEqual(['--no-warnings'])
  })
})
