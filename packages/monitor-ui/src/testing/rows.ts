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

/** A fresh id of the database's form. */
function nextId(): string {
  made += 1
  return made.toString(16).padStart(24, '0')
}

export function iso(at: number): string {
  return new Date(at).toISOString()
}

function task(overrides: Partial<TaskRow>, now: number): TaskRow {
  const id = overrides._id ?? nextId()
  const at = iso(now - 60_000)
  return {
    _id: id,
    name: 'download',
    version: 2,
    input: {
      file: `file-${Number.parseInt(id, 16)}.iso`,
      url: `https://files.example/file-${Number.parseInt(id, 16)}.iso`,
    },
    status: 'pending',
    queue: 'default',
    priority: 5,
    basePriority: 5,
    runAt: at,
    order: at,
    lazy: false,
    attempt: 0,
    failures: 0,
    lost: 0,
    maxAttempts: 5,
    rev: 1,
    createdAt: at,
    updatedAt: at,
    ...overrides,
  }
}

function claimed(now: number, outcome?: AttemptOutcome): Partial<TaskRow> {
  const at = iso(now - 30_000)
  const ended = outcome === undefined ? {} : { outcome, endedAt: iso(now - 5_000) }
  return { attempt: 1, claimedAt: at, startedAt: at, attempts: [{ n: 1, worker: 'w1', claimedAt: at, ...ended }] }
}

/** A task in each status, as the database would hold it. */
export const aTask: Record<TaskStatus, (overrides?: Partial<TaskRow>, now?: number) => TaskRow> = {
  pending: (overrides, now = EPOCH) => task({ ...overrides }, now),
  running: (overrides = {}, now = EPOCH) => {
    const id = overrides._id ?? nextId()
    return task(
      {
        status: 'running',
        worker: 'w1',
        publicUrl: `http://127.0.0.1:4101/tasks/${id}`,
        progress: { ratio: 0.25, done: 25e6, total: 100e6, unit: 'bytes', at: iso(now - 1_000) },
        ...claimed(now),
        ...overrides,
        _id: id,
      },
      now,
    )
  },
  paused: (overrides, now = EPOCH) => task({ status: 'paused', ...claimed(now, 'paused'), ...overrides }, now),
  blocked: (overrides, now = EPOCH) => task({ status: 'blocked', after: nextId(), ...overrides }, now),
  completed: (overrides, now = EPOCH) =>
    task(
      {
        status: 'completed',
        ...claimed(now, 'completed'),
        finishedAt: iso(now - 5_000),
        output: { bytes: 100e6 },
        ...overrides,
      },
      now,
    ),
  failed: (overrides, now = EPOCH) =>
    task(
      {
        status: 'failed',
        ...claimed(now, 'failed'),
        failures: 5,
        finishedAt: iso(now - 5_000),
        error: {
          code: 'HTTP_404',
          name: 'FleetError',
          message: 'GET answered 404 Not Found',
          fingerprint: 'c0ffee',
          stack: 'FleetError: GET answered 404 Not Found\n    at fetchRange (download.ts:81:13)',
        },
        ...overrides,
      },
      now,
    ),
  cancelled: (overrides, now = EPOCH) => task({ status: 'cancelled', finishedAt: iso(now - 5_000), ...overrides }, now),
}

export function aWorker(overrides: Partial<WorkerRow> = {}, now = EPOCH): WorkerRow {
  return {
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
    ...overrides,
  }
}

/** A group of errors as the report holds it. */
export function anError(overrides: Partial<ErrorRow> = {}, now = EPOCH): ErrorRow {
  return {
    _id: 'c0ffee',
    code: 'HTTP_404',
    name: 'FleetError',
    message: 'GET answered 404 Not Found',
    stack: 'FleetError: GET answered 404 Not Found\n    at fetchRange (download.ts:81:13)',
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
    ...overrides,
  }
}

function event(overrides: Partial<EventRow>, now: number): EventRow {
  const at = iso(now - 60_000)
  return {
    _id: nextId(),
    name: 'Add',
    props: { a: 2, b: 3 },
    scheduledFor: at,
    status: 'scheduled',
    tasks: [],
    createdAt: at,
    updatedAt: at,
    rev: 1,
    ...overrides,
  }
}

function ended(now: number): Partial<EventRow> {
  return { startedAt: iso(now - 50_000), processedAt: iso(now - 49_000) }
}

/** An event in each status, as the database would hold it. */
export const anEvent: Record<EventStatus, (overrides?: Partial<EventRow>, now?: number) => EventRow> = {
  scheduled: (overrides, now = EPOCH) => event({ scheduledFor: iso(now + 90_000), ...overrides }, now),
  processing: (overrides, now = EPOCH) =>
    event({ status: 'processing', startedAt: iso(now - 5_000), ...overrides }, now),
  finished: (overrides, now = EPOCH) => event({ status: 'finished', ...ended(now), ...overrides }, now),
  failed: (overrides, now = EPOCH) => event({ status: 'failed', ...ended(now), ...overrides }, now),
  cancelled: (overrides, now = EPOCH) => event({ status: 'cancelled', ...ended(now), ...overrides }, now),
}

export function aCallback(overrides: Partial<CallbackRow> = {}, now = EPOCH): CallbackRow {
  const at = iso(now - 3_600_000)
  return {
    _id: nextId(),
    event: 'Add',
    task: 'addition',
    version: 1,
    defaults: {},
    createdAt: at,
    updatedAt: at,
    rev: 1,
    ...overrides,
  }
}

export function aSchedule(overrides: Partial<ScheduleRow> = {}, now = EPOCH): ScheduleRow {
  const at = iso(now - 3_600_000)
  return {
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
    createdAt: at,
    updatedAt: at,
    edition: 1,
    rev: 1,
    ...overrides,
  }
}

export function aKey(overrides: Partial<KeyRow> = {}, now = EPOCH): KeyRow {
  return {
    id: nextId().slice(-12),
    name: 'ci',
    state: 'good',
    scopes: ['read', 'write'],
    createdAt: iso(now - 3_600_000),
    ...overrides,
  }
}
