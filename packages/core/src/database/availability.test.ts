import { type RunningMongo, startMongo } from '@taskfleet/dev-mongo'
import { ReplyRelay } from '@taskfleet/testkit/reply-relay'
import { newTask } from '@taskfleet/testkit/task-factory'
import { type Logger, pino } from 'pino'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { Fleet } from '../fleet.ts'
import { withoutOutages } from './outage-log.ts'

let server: RunningMongo
beforeAll(async () => {
  const { TASKFLEET_MONGO_URI: _, ...env } = process.env
  server = await startMongo({ env })
})
afterAll(() => server.stop())

interface Line {
  level: number
  msg: string
  awayMs?: number
  err?: { message: string }
}

function recorder(): { log: Logger; lines: Line[] } {
  const lines: Line[] = []
  const log = pino({ level: 'warn' }, { write: (line) => void lines.push(JSON.parse(line) as Line) })
  return { log, lines }
}

test('an outage is two log lines: the database is away, and it is back after some time', async () => {
  const { log, lines } = recorder()
  const fleet = await Fleet.connect(server.uri, { log })
  await server.kill!('SIGSTOP')
  try {
    await vi.waitFor(() => expect(lines.map(({ msg }) => msg)).toEqual([expect.stringContaining('away')]), 30_000)
    expect(fleet.database.availability.awayMs).toBeGreaterThan(0)
  } finally {
    await server.kill!('SIGCONT')
  }
  await vi.waitFor(() => expect(lines).toHaveLength(2), 30_000)
  expect(lines[1]!.msg).toMatch(/back after \d+\.\d s/)
  expect(lines[1]!.awayMs).toBeGreaterThan(1_000)
  expect(fleet.database.availability.awayMs).toBe(0)
  await fleet.close()
})

test('a task that is enqueued while the database is away is stored when it is back', async () => {
  const fleet = await Fleet.connect(server.uri)
  await server.kill!('SIGKILL')
  const task = newTask()
  const storing = fleet.store.enqueue([task]).catch((error: unknown) => error)
  await vi.waitFor(() => expect(fleet.database.availability.awayMs).toBeGreaterThan(0), 30_000)
  await server.restart!()
  const outcome = await storing
  if (outcome instanceof Error) {
    expect(outcome).toMatchObject({ code: 'UNKNOWN_OUTCOME', ids: [task._id.toHexString()] })
    await fleet.store.enqueue([task])
  }
  expect(await fleet.tasks.countDocuments({ _id: task._id })).toBe(1)
  await fleet.close()
})

test('if no server responds, connecting fails within the timeout', async () => {
  const beganAt = performance.now()
  await expect(Fleet.connect('mongodb://127.0.0.1:1/x')).rejects.toMatchObject({
    code: 'NO_DATABASE',
    message: expect.stringContaining('ECONNREFUSED'),
  })
  expect(performance.now() - beganAt).toBeLessThan(20_000)
})

test('a server that loses its first answers does not make connecting fail', async () => {
  const relay = new ReplyRelay(server.uri)
  const uri = await relay.start(server.uri)
  // The driver itself repeats a command once.
  relay.lose(['findAndModify'], 3)
  const fleet = await Fleet.connect(uri)
  expect(relay.left).toBe(0)
  await fleet.close()
  await relay.stop()
})

test('errors that happen only because the database is away are logged at debug', () => {
  const { log, lines } = recorder()
  const quiet = withoutOutages(log)
  quiet.warn({ err: Object.assign(new Error('not primary'), { code: 10_107 }) }, 'a duty failed')
  quiet.error({ err: Object.assign(new Error('gone'), { name: 'MongoServerSelectionError' }) }, 'a duty failed')
  quiet.warn({ err: new Error('a fault of its own') }, 'another failed')
  quiet.warn('plain')
  expect(lines.map(({ msg }) => msg)).toEqual(['another failed', 'plain'])
})
