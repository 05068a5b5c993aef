import { RetryAfterError, SnoozeError, UnrecoverableError } from '@taskfleet/protocol'
import { mongoUri } from '@taskfleet/testkit/mongo-uri'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from '../define-task.ts'
import { runHandler, TestFleet } from './index.ts'

const greet = defineTask({
  name: 'greet',
  version: 2,
  input: z.object({ name: z.string() }),
  upgrade: { 1: (old: { who: string }) => ({ name: old.who }) },
  retry: { maxAttempts: 3, backoff: { base: '1m', factor: 3, jitter: false } },
  async run({ input, progress, log, socket, checkpoint, task, signal }) {
    socket.on('shout', (data) => String(data).toUpperCase())
    if (input.name === 'later') throw new SnoozeError('5m')
    if (input.name === 'soon') throw new RetryAfterError('BUSY', 'come back', 7_000)
    if (input.name === 'never') throw new UnrecoverableError('NO', 'nobody of that name')
    if (input.name === 'twice' && task.attempt < 3) throw new Error('not yet')
    if (input.name === 'patient')
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    progress({ done: 1, total: 2 })
    log.info(`greeting ${input.name}`)
    socket.emit('greeted', { name: input.name })
    await checkpoint.save({ greeted: input.name, before: checkpoint.state })
    return `hello ${input.name}`
  },
})

describe('a handler alone', () => {
  test('its output, progress, log, events and checkpoint are reported', async () => {
    const result = await runHandler(greet, { name: 'ann' }, { checkpoint: 'earlier' })
    expect(result).toMatchObject({
      outcome: 'completed',
      output: 'hello ann',
      progress: { ratio: 0.5 },
      log: [{ level: 'info', message: 'greeting ann' }],
      events: [{ name: 'greeted', data: { name: 'ann' } }],
      checkpoint: { greeted: 'ann', before: 'earlier' },
    })
  })

  test('it finds what the tasks before it returned', async () => {
    const sum = defineTask({
      name: 'sum',
      input: z.object({}),
      run: async ({ results }) => [...(await results()).values()].reduce((all, { output }) => all + Number(output), 0),
    })
    const done = { status: 'completed', output: 2 } as const
    expect(await runHandler(sum, {}, { results: { a: done, b: done } })).toMatchObject({ output: 4 })
    expect(await runHandler(sum, {})).toMatchObject({ output: 0 })
  })

  test('an older input is upgraded, an invalid one rejected', async () => {
    expect(await runHandler(greet, { who: 'bob' }, { version: 1 })).toMatchObject({ output: 'hello bob' })
    expect(await runHandler(greet, { name: 7 })).toMatchObject({ outcome: 'failed', error: { code: 'INPUT_INVALID' } })
  })

  test('errors end as a worker would have them end', async () => {
    expect(await runHandler(greet, { name: 'later' })).toMatchObject({ outcome: 'snoozed', delayMs: 300_000 })
    expect(await runHandler(greet, { name: 'soon' })).toMatchObject({
      ...{ outcome: 'retry', delayMs: 7_000, costsNothing: true },
    })
    expect(await runHandler(greet, { name: 'never' })).toMatchObject({ outcome: 'failed', error: { code: 'NO' } })
    expect(await runHandler(greet, { name: 'twice' }, { attempt: 2 })).toMatchObject({
      outcome: 'retry',
      delayMs: 180_000,
    })
    expect(await runHandler(greet, { name: 'twice' })).not.toHaveProperty('costsNothing')
  })

  test('it can be cancelled, paused, sent a message and lose its lease while it runs', async () => {
    const during = (code: 'CANCELLED' | 'PAUSED' | 'LEASE_LOST') => ({
      during: ({ abort }: { abort(code: string): void }) => abort(code),
    })
    const patient = { name: 'patient' }
    expect((await runHandler(greet, patient, during('CANCELLED'))).outcome).toBe('cancelled')
    expect((await runHandler(greet, patient, during('PAUSED'))).outcome).toBe('paused')
    expect((await runHandler(greet, patient, during('LEASE_LOST'))).outcome).toBeNull()
    let answer: unknown
    await runHandler(greet, patient, {
      during: async (attempt) => {
        answer = await attempt.message('shout', 'hi')
        attempt.abort('CANCELLED')
      },
    })
    expect(answer).toBe('HI')
  })
})

describe.each(['memory', 'a database'])('a fleet for tests in %s', (where) => {
  let fleet: TestFleet
  beforeAll(async () => {
    fleet = await TestFleet.start({ tasks: [greet], ...(where === 'memory' ? {} : { mongo: mongoUri() }) })
  })
  afterAll(() => fleet.stop())

  test('drain runs what is due and leaves what is not', async () => {
    const due = await fleet.enqueue(greet, { name: 'ann' })
    const later = await fleet.enqueue(greet, { name: 'bob' }, { runAt: new Date(Date.now() + 3_600_000) })
    expect((await fleet.drain()).map(({ _id, output }) => [String(_id), output])).toEqual([
      [String(due._id), 'hello ann'],
    ])
    expect(await fleet.drain()).toEqual([])
    await fleet.advance('1h')
    await fleet.drain()
    expect(await fleet.waitForTask(later._id)).toMatchObject({ status: 'completed', output: 'hello bob' })
  })

  test('drain moves the clock to retries and dates when asked to', async () => {
    const twice = await fleet.enqueue(greet, { name: 'twice' })
    const ended = await fleet.drain({ scheduled: true })
    expect(ended).toMatchObject([{ _id: twice._id, status: 'completed', attempt: 3, failures: 2 }])
  })

  test('dependants, events, throttled tasks and results are as in a real fleet, without warnings', async () => {
    const warnings: unknown[] = []
    const log = pino({ level: 'warn' }, { write: (line: string) => warnings.push(JSON.parse(line)) })
    const real = await TestFleet.start({
      ...(where === 'memory' ? {} : { mongo: mongoUri() }),
      tasks: [greet],
      worker: { log, queueConcurrency: { slow: 1 } },
    })
    try {
      const operations = real.fleet.as()
      await operations.callbacks.create({ event: 'born', task: 'greet', version: 2, defaults: { queue: 'slow' } })
      const event = await operations.events.post({ name: 'born', props: { name: 'dan' } })
      const first = await real.enqueue(greet, { name: 'ann' })
      const second = await real.enqueue(greet, { name: 'bob' }, { after: first._id.toHexString() })
      const limited = { key: 'one', throttle: '1m' } as const
      const once = await real.enqueue(greet, { name: 'eve' }, limited)
      const again = await real.enqueue(greet, { name: 'eve' }, limited)
      const result = real.fleet.result(second._id.toHexString(), { timeout: '1m' })
      const ended = await real.drain()
      expect(ended.map(({ output }) => output).toSorted()).toEqual(['hello ann', 'hello bob', 'hello dan', 'hello eve'])
      expect(again._id).toEqual(once._id)
      expect(await result).toMatchObject({ status: 'completed', output: 'hello bob' })
      expect(await operations.events.show(event._id)).toMatchObject({ status: 'finished' })
      expect(warnings).toEqual([])
    } finally {
      await real.stop()
    }
  })

  test('a running task is cancelled by a key with permission', async () => {
    const patient = await fleet.enqueue(greet, { name: 'patient' })
    const draining = fleet.drain()
    const { tasks } = fleet.fleet.as()
    await fleet.waitForTask(patient._id, ({ status }) => status === 'running')
    await tasks.cancel({ id: patient._id.toHexString(), reason: 'enough' })
    expect(await draining).toEqual([])
    expect(await fleet.waitForTask(patient._id)).toMatchObject({ status: 'cancelled' })
  })
})
