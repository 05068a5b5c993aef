import type {
  AttemptOutcome,
  CallbackRow,
  ErrorRow,
  EventRow,
  EventStatus,
  KeyRow,
  ScheduleRow,
  TaskRow,
  TaskStatus,
  WorkerRow,
} from '@taskfleet/protocol'

/** The moment at which fakes begin. */
export const EPOCH = Date.parse('2026-01-05T12:00:00.000Z')

let made = 0

/** A new id in the database's format. */
function nextId(): string {
  made += 1
  return made.toString(16).padStart(24, '0')
}

export function iso(at: number): string {
  return new Date(at).toISOString()
}

type Maker<Row> = (overrides?: Partial<Row>, now?: number) => Row

/** Makes rows with these values where a test gives no others. */
const maker =
  <Row>(defaults: (now: number) => Row): Maker<Row> =>
  (overrides = {}, now = EPOCH) => ({ ...defaults(now), ...overrides })

const task = (id: string, now: number): TaskRow => ({
  _id: id,
  name: 'download',
  version: 2,
  title: `file-${Number.parseInt(id, 16)}.iso`,
  input: {
    file: `file-${Number.parseInt(id, 16)}.iso`,
    url: `https://files.example/file-${Number.parseInt(id, 16)}.iso`,
  },
  status: 'pending',
  queue: 'default',
  priority: 5,
  basePriority: 5,
  runAt: iso(now - 60_000),
  order: iso(now - 60_000),
  lazy: false,
  attempt: 0,
  failures: 0,
  lost: 0,
  maxAttempts: 5,
  rev: 1,
  createdAt: iso(now - 60_000),
  updatedAt: iso(now - 60_000),
})

/** Makes tasks that differ from a pending one in these values. */
const taskMaker =
  (status: TaskStatus, differs: (now: number, id: string) => Partial<TaskRow> = () => ({})): Maker<TaskRow> =>
  (overrides = {}, now = EPOCH) => {
    const id = overrides._id ?? nextId()
    return { ...task(id, now), status, ...differs(now, id), ...overrides }
  }

function claimed(now: number, outcome?: AttemptOutcome): Partial<TaskRow> {
  const at = iso(now - 30_000)
  const ended = outcome === undefined ? {} : { outcome, endedAt: iso(now - 5_000) }
  return {
    attempt: 1,
    claimedAt: at,
    startedAt: at,
    host: 'host-a',
    attempts: [{ n: 1, worker: 'w1', host: 'host-a', claimedAt: at, ...ended }],
  }
}

/** A task in each status, as the database would hold it. */
export const aTask: Record<TaskStatus, Maker<TaskRow>> = {
  pending: taskMaker('pending'),
  running: taskMaker('running', (now, id) => ({
    worker: 'w1',
    publicUrl: `http://127.0.0.1:4101/tasks/${id}`,
    progress: { ratio: 0.25, done: 25e6, total: 100e6, unit: 'bytes', at: iso(now - 1_000) },
    ...claimed(now),
  })),
  paused: taskMaker('paused', (now) => claimed(now, 'paused')),
  blocked: taskMaker('blocked', () => ({ after: nextId() })),
  completed: taskMaker('completed', (now) => ({
    ...claimed(now, 'completed'),
    finishedAt: iso(now - 5_000),
    output: { bytes: 100e6 },
  })),
  failed: taskMaker('failed', (now) => ({
    ...claimed(now, 'failed'),
    failures: 5,
    finishedAt: iso(now - 5_000),
    error: { ...FAULT, fingerprint: 'c0ffee' },
  })),
  cancelled: taskMaker('cancelled', (now) => ({ finishedAt: iso(now - 5_000) })),
}

const FAULT = {
  code: 'HTTP_404',
  name: 'FleetError',
  message: 'GET answered 404 Not Found',
  stack: 'FleetError: GET answered 404 Not Found\n    at fetchRange (download.ts:81:13)',
}

export const aWorker = maker<WorkerRow>((now) => ({
  _id: 'w1',
  name: 'host-a',
  host: '127.0.0.2',
  pid: 4_711,
  role: 'worker',
  url: 'http://127.0.0.2:4101',
  state: 'running',
  queues: ['default'],
  tasks: ['download@2'],
  slots: 4,
  running: 0,
  load: { cpu: 0.34, rss: 182e6, memoryFree: 8e9, eventLoopDelayMs: 2.4 },
  heartbeatMs: 2_000,
  version: '0.1.0',
  startedAt: iso(now - 3_600_000),
  heartbeatAt: iso(now - 400),
  rev: 1,
}))

/** A group of errors as the report holds it. */
export const anError = maker<ErrorRow>((now) => ({
  _id: 'c0ffee',
  ...FAULT,
  state: 'open',
  count: 12,
  trend: [5, 3, 0].map((hoursAgo, index) => ({
    hour: iso(Math.floor(now / 3_600_000) * 3_600_000 - hoursAgo * 3_600_000),
    count: 2 + index * 3,
  })),
  tasks: ['download'],
  versions: ['download@2'],
  hosts: ['host-a'],
  samples: [],
  firstSeenAt: iso(now - 20_000_000),
  lastSeenAt: iso(now - 30_000),
  reopened: 0,
  rev: 1,
}))

const eventMaker = (status: EventStatus, times: (now: number) => Partial<EventRow>): Maker<EventRow> =>
  maker((now) => ({
    _id: nextId(),
    name: 'Add',
    props: { a: 2, b: 3 },
    scheduledFor: iso(now - 60_000),
    status,
    tasks: [],
    createdAt: iso(now - 60_000),
    updatedAt: iso(now - 60_000),
    rev: 1,
    ...times(now),
  }))

const ended = (now: number) => ({ startedAt: iso(now - 50_000), processedAt: iso(now - 49_000) })

/** An event in each status, as the database would hold it. */
export const anEvent: Record<EventStatus, Maker<EventRow>> = {
  scheduled: eventMaker('scheduled', (now) => ({ scheduledFor: iso(now + 90_000) })),
  processing: eventMaker('processing', (now) => ({ startedAt: iso(now - 5_000) })),
  finished: eventMaker('finished', ended),
  failed: eventMaker('failed', ended),
  cancelled: eventMaker('cancelled', ended),
}

export const aCallback = maker<CallbackRow>((now) => ({
  _id: nextId(),
  event: 'Add',
  task: 'addition',
  version: 1,
  defaults: {},
  createdAt: iso(now - 3_600_000),
  updatedAt: iso(now - 3_600_000),
  rev: 1,
}))

export const aSchedule = maker<ScheduleRow>((now) => ({
  _id: 'nightly',
  task: 'report',
  version: 1,
  input: { kind: 'daily' },
  options: { queue: 'default' },
  cron: '30 3 * * *',
  timeZone: 'Europe/Berlin',
  missed: 'latest',
  overlap: 'allow',
  paused: false,
  nextAt: iso(now + 90_000),
  by: 'local',
  createdAt: iso(now - 3_600_000),
  updatedAt: iso(now - 3_600_000),
  edition: 1,
  rev: 1,
}))

export const aKey = maker<KeyRow>((now) => ({
  id: nextId().slice(-12),
  name: 'ci',
  state: 'good',
  scopes: ['read', 'write'],
  createdAt: iso(now - 3_600_000),
}))
