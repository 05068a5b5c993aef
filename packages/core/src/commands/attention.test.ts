import type { AttentionRow } from '@taskfleet/protocol'
import { newTask, taskFactory } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { Types } from 'mongoose'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { LOCAL, type Principal } from '../auth/key-store.ts'
import { Fleet } from '../fleet.ts'
import type { WorkerReport } from '../worker/worker-model.ts'
import { attention, type Observed } from './attention.ts'

const NOW = new Date('2030-06-01T12:00:00Z')
const ago = (minutes: number): Date => new Date(NOW.getTime() - minutes * 60_000)

const WELL: Observed = {
  ...{ now: NOW, due: [], workers: [], held: new Map(), queues: [], schedules: [] },
  ...{ errors: [], ended: [], atRisk: [], setAside: 0 },
}
const worker = (over: object = {}) =>
  ({
    ...{ _id: 's1', name: 'fra-01', role: 'worker', state: 'running', queues: ['video'], tasks: ['encode@1'] },
    ...{ leaseMs: 8_000, heartbeatMs: 2_500, heartbeatAt: NOW, secretIds: ['x'] },
    ...over,
  }) as never
const encode = { queue: 'video', name: 'encode', version: 1 }
const schedule = (over: object = {}) =>
  ({ _id: 'nightly', task: 'encode', version: 1, options: { queue: 'video' }, paused: false, ...over }) as never
const error = (over: object = {}) =>
  ({ _id: 'f', code: 'EIO', message: 'disk', tasks: ['encode'], trend: [], firstSeenAt: ago(6_000), ...over }) as never
/** Failures by the hour in which they happened: `[hours ago, count]`. */
const trend = (...hours: [number, number][]) => hours.map(([hour, count]) => ({ hour: ago(hour * 60), count }))
/** Waits of about a minute and a half. */
const waits = { queue: 'video', wait: Array.from({ length: 25 }, (_, bucket) => (bucket === 15 ? 20 : 0)) } as never

const cases: [what: string, seen: Partial<Observed>, rows: Partial<AttentionRow>[]][] = [
  ['nothing', {}, []],
  ['a live worker', { workers: [worker()] }, []],
  [
    'due tasks that nobody serves',
    { due: [{ ...encode, version: 2, count: 10, oldest: ago(0.1) }], workers: [worker()] },
    [{ kind: 'unserved', urgency: 'now', subject: 'encode@2', count: 10, since: ago(0.1).toISOString() }],
  ],
  ['due tasks that somebody serves', { due: [{ ...encode, count: 10, oldest: ago(0.1) }], workers: [worker()] }, []],
  [
    'due tasks whose only worker is silent',
    { due: [{ ...encode, count: 1, oldest: ago(0.1) }], workers: [worker({ heartbeatAt: ago(1) })] },
    [{ kind: 'silent' }, { kind: 'unserved' }],
  ],
  [
    'a schedule that nobody serves',
    { schedules: [schedule()] },
    [{ kind: 'unserved', urgency: 'soon', schedule: 'nightly' }],
  ],
  ['a paused schedule that nobody serves', { schedules: [schedule({ paused: true })] }, []],
  [
    'a queue whose oldest task waits for long',
    { due: [{ ...encode, count: 3, oldest: ago(2) }], workers: [worker()] },
    [{ kind: 'behind', urgency: 'now', subject: 'video', count: 3 }],
  ],
  [
    'a queue whose tasks usually wait as long',
    { due: [{ ...encode, count: 3, oldest: ago(2) }], workers: [worker()], ended: [waits] },
    [],
  ],
  [
    'a queue that its limit holds back',
    { due: [{ ...encode, count: 3, oldest: ago(2) }], workers: [worker()], queues: [limited(2)] },
    [{ kind: 'behind', message: expect.stringContaining('at most 2 run at once') as never }],
  ],
  [
    'a paused queue',
    { due: [{ ...encode, count: 3, oldest: ago(2) }], workers: [worker()], queues: [{ _id: 'video', paused: true }] },
    [{ kind: 'paused', urgency: 'soon', subject: 'video' }],
  ],
  [
    'a silent worker that holds tasks',
    { workers: [worker({ heartbeatAt: ago(0.3) })], held: new Map([['s1', 20]]) },
    [{ kind: 'silent', urgency: 'now', subject: 'fra-01', worker: 's1', count: 20 }],
  ],
  ['a stopped worker', { workers: [worker({ state: 'stopped', heartbeatAt: ago(2) })] }, []],
  [
    'a dead worker',
    { workers: [worker({ state: 'dead', heartbeatAt: ago(2) })] },
    [{ kind: 'silent', urgency: 'soon' }],
  ],
  [
    'a dead worker whose host has another',
    { workers: [worker({ state: 'dead', heartbeatAt: ago(2) }), worker({ _id: 's2' })] },
    [],
  ],
  [
    'a host whose workers died one after the other',
    { workers: ['new', 'old'].map((_id) => worker({ _id, state: 'dead', heartbeatAt: ago(2) })) },
    [{ kind: 'silent', worker: 'new' }],
  ],
  ['a worker that died long ago', { workers: [worker({ state: 'dead', heartbeatAt: ago(90) })] }, []],
  [
    'a missed schedule',
    { schedules: [schedule({ nextAt: ago(1) })], workers: [worker()] },
    [{ kind: 'missed', urgency: 'now', subject: 'nightly' }],
  ],
  ['a schedule that is just due', { schedules: [schedule({ nextAt: ago(0.1) })], workers: [worker()] }, []],
  [
    'deadlines that come soon',
    { atRisk: ['encode', 'encode'] },
    [{ kind: 'deadline', urgency: 'soon', subject: 'encode', count: 2 }],
  ],
  [
    'a new error',
    { errors: [error({ firstSeenAt: ago(10), trend: trend([0.2, 1]) })] },
    [{ kind: 'failing', urgency: 'soon', subject: 'EIO', error: 'f', count: 1 }],
  ],
  [
    'an error that rises',
    { errors: [error({ trend: trend([0.5, 9], [5, 6]) })] },
    [{ kind: 'failing', urgency: 'now' }],
  ],
  ['an error as usual', { errors: [error({ trend: trend([0.5, 9], [5, 60]) })] }, []],
  ['a few more failures than usual', { errors: [error({ trend: trend([0.5, 4]) })] }, []],
  ['documents that are set aside', { setAside: 2 }, [{ kind: 'documents', count: 2 }]],
  ['a missing secret', { workers: [worker({ secretIds: [] })] }, [{ kind: 'weak', subject: 'secret' }]],
  [
    'several things: the most urgent first, then the oldest',
    {
      setAside: 1,
      schedules: [schedule({ nextAt: ago(5) })],
      workers: [worker(), worker({ name: 'b', heartbeatAt: ago(9) })],
    },
    [{ kind: 'silent' }, { kind: 'missed' }, { kind: 'documents' }],
  ],
]

function limited(concurrency: number): Observed['queues'][number] {
  return { _id: 'video', paused: false, concurrency }
}

describe('what needs somebody', () => {
  test.each(cases)('%s', (_, seen, rows) => {
    expect(attention({ ...WELL, ...seen })).toMatchObject(rows)
  })
})

const held = useDatabase()
const LIMITED: Principal = { ...LOCAL, id: 'limited', scopes: ['read'], queues: ['own'] } as Principal

describe('attention.list', () => {
  let fleet: Fleet
  beforeEach(async () => {
    for (const name of ['tasks', 'workers', 'schedules', 'setAside', 'errors']) {
      await held.database.db.collection(name).deleteMany({})
    }
    // Answers are shared for a moment by those who ask the same fleet.
    fleet = new Fleet(held.database)
  })

  test('sees the fleet: unserved tasks, a silent worker with its tasks, deadlines, errors and documents', async () => {
    const make = taskFactory(fleet.store)
    await make.pending({ queue: 'own', name: 'orphan' })
    await make.pending({
      name: 'urgent',
      deadline: new Date(Date.now() + 60_000),
      runAt: new Date(Date.now() + 50_000),
    })
    const running = await make.running({ queue: 'own' })
    await fleet.workers.beat(running.worker!, report())
    await held.database.db
      .collection<{ _id: string }>('workers')
      .updateOne({ _id: running.worker! }, { $set: { heartbeatAt: new Date(Date.now() - 60_000) } })
    const failure = { code: 'EIO', name: 'Error', message: 'disk', fingerprint: 'f' }
    await fleet.errors.record({ error: failure, task: new Types.ObjectId(), name: 'orphan', version: 1, host: 'h' })
    await held.database.db.collection<{ _id: string }>('workers').insertOne({ _id: 'odd' })
    await vi.waitFor(async () => {
      await fleet.workers.list()
      expect(await fleet.gate.setAside.list()).toHaveLength(1)
    }, 20_000)
    const rows = await fleet.as().attention.list()
    expect(rows.map(({ kind, subject, count }) => [kind, subject, count]).sort()).toEqual([
      ['deadline', 'urgent', 1],
      ['documents', 'documents', 1],
      ['failing', 'EIO', 1],
      ['silent', 'lone', 1],
      ['unserved', 'orphan@1', 1],
    ])
  })

  test('tells a limited key of its own queues alone', async () => {
    const make = taskFactory(fleet.store)
    for (const queue of ['own', 'foreign']) await make.pending({ queue, name: queue })
    await fleet.workers.beat('s', report())
    await held.database.db
      .collection<{ _id: string }>('workers')
      .updateOne({ _id: 's' }, { $set: { heartbeatAt: new Date(Date.now() - 60_000) } })
    expect(await fleet.as(LIMITED).attention.list()).toMatchObject([{ kind: 'unserved', queue: 'own' }])
    expect(await fleet.as().attention.list()).toHaveLength(3)
  })

  test('is not disturbed by documents of other types', async () => {
    await fleet.store.enqueue([newTask({ queue: 'own' })])
    await fleet.tasks.updateMany({}, { $set: { name: { $literal: 7 } } } as never)
    expect(await fleet.as().attention.list()).toEqual([])
  })

  test('shares an answer for a moment', async () => {
    const [first, second] = [fleet.as().attention.list(), fleet.as().attention.list()]
    expect(await first).toBe(await second)
  })
})

function report(): WorkerReport {
  return {
    ...{
      name: 'lone',
      host: 'h',
      pid: 1,
      role: 'worker',
      state: 'running',
      boot: 'b',
      leaseMs: 8_000,
      heartbeatMs: 2_500,
    },
    ...{ queues: ['other'], tasks: ['encode@1'], slots: 1, running: 1, secretIds: ['x'] },
    load: { cpu: 0, rss: 1, memoryFree: 1, eventLoopDelayMs: 0, hostCpu: 0, memoryLeft: 1 },
  } as unknown as WorkerReport
}
