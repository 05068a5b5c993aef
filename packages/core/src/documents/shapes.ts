import { type EventStatus, STATUSES } from '@taskfleet/protocol'
import {
  anything,
  date,
  either,
  flag,
  id,
  listOf,
  matching,
  needed,
  number,
  object,
  oneOf,
  optional,
  type Rule,
  type Shape,
  text,
  whole,
} from './shape.ts'

/** No counter of a fleet comes near it, and what is added to it stays exact. */
const MOST = 2 ** 52
const count = whole(0, MOST)
const EPOCH = new Date(0)

const EVENT_STATUSES = ['scheduled', 'processing', 'finished', 'failed', 'cancelled'] as const satisfies EventStatus[]

/** As leases were before they belonged to sessions, and as they are since. */
const lease = either(
  object({ id: needed(text), worker: needed(text), expiresAt: needed(date) }),
  object({ id: needed(text), session: needed(text) }),
)

const hasLease: Rule = {
  field: 'lease',
  says: "'lease' is missing, and the task runs",
  holds: ({ status, lease }) => status !== 'running' || lease !== undefined,
  fits: { $or: [{ $ne: ['$status', 'running'] }, { $ne: [{ $type: '$lease' }, 'missing'] }] },
}

const unchecked = (...names: string[]): Shape['fields'] =>
  Object.fromEntries(names.map((name) => [name, optional(anything)]))

const TASK: Shape = {
  fields: {
    _id: needed(id),
    name: needed(text, 'unknown'),
    version: needed(whole(0, MOST), 1),
    status: needed(oneOf(STATUSES), 'failed'),
    queue: needed(text, 'default'),
    priority: needed(whole(1, 10), 5),
    basePriority: needed(whole(1, 10), 5),
    runAt: needed(date, EPOCH),
    order: needed(date, EPOCH),
    lazy: needed(flag, false),
    attempt: needed(count, 0),
    failures: needed(count, 0),
    lost: needed(count, 0),
    maxAttempts: needed(whole(1, MOST), 1),
    attempts: needed(
      listOf(
        object({
          n: needed(count),
          worker: optional(text),
          lease: optional(text),
          claimedAt: optional(date),
          endedAt: optional(date),
          outcome: optional(text),
          error: optional(object({})),
        }),
      ),
      [],
    ),
    rev: needed(count, 1),
    createdAt: needed(date, EPOCH),
    updatedAt: needed(date, EPOCH),
    attemptsDropped: optional(count),
    deadline: optional(date),
    raiseAt: optional(date),
    deadlineMissedAt: optional(date),
    claimedAt: optional(date),
    startedAt: optional(date),
    finishedAt: optional(date),
    expireAt: optional(date),
    worker: optional(text),
    publicUrl: optional(text),
    lease: optional(lease),
    slot: optional(text),
    control: optional(object({ action: needed(text), by: needed(text), reason: optional(text), at: optional(date) })),
    progress: optional(
      object({
        at: needed(date),
        ratio: optional(number),
        done: optional(number),
        total: optional(number),
        unit: optional(text),
        message: optional(text),
      }),
    ),
    error: optional(object({ code: needed(text), message: needed(text) })),
    key: optional(text),
    keyUntil: optional(text),
    parent: optional(id),
    after: optional(either(id, listOf(id))),
    replayOf: optional(id),
    schedule: optional(text),
    event: optional(id),
    // Read with care where they are used.
    ...unchecked('input', 'output', 'checkpoint', 'checkpointAttempt', 'retry', 'timeout', 'totalTimeout', 'stall'),
    ...unchecked('ifFailed', 'predecessors', 'signature'),
  },
  rules: [hasLease],
}

/** What a worker keeps of a waiting task. */
export const HINT: Shape = {
  fields: Object.fromEntries(
    ['_id', 'name', 'version', 'queue', 'priority', 'order', 'runAt', 'lazy'].map((name) => [name, TASK.fields[name]!]),
  ),
}

const QUEUE: Shape = {
  fields: {
    _id: needed(text),
    paused: optional(flag),
    concurrency: optional(whole(1, MOST)),
    rate: optional(object({ limit: needed(whole(1, MOST)), per: needed(whole(1, MOST)) })),
    maxWaiting: optional(count),
    by: optional(text),
    reason: optional(text),
    updatedAt: optional(date),
    rev: optional(count),
  },
}

const SCHEDULE: Shape = {
  fields: {
    _id: needed(text),
    task: needed(text, 'unknown'),
    version: needed(whole(0, MOST), 1),
    options: needed(
      object({
        queue: needed(text),
        priority: optional(whole(1, 10)),
        lazy: optional(flag),
        maxAttempts: optional(whole(1, MOST)),
        deadlineAfter: optional(count),
      }),
      { queue: 'default' },
    ),
    cron: optional(text),
    every: optional(whole(1, MOST)),
    timeZone: needed(text, 'UTC'),
    startsAt: optional(date),
    endsAt: optional(date),
    missed: needed(text, 'latest'),
    overlap: needed(text, 'allow'),
    paused: needed(flag, true),
    nextAt: optional(date),
    lastSlot: optional(date),
    lastTask: optional(id),
    lastSkipped: optional(object({ slot: needed(date), reason: needed(text) })),
    by: optional(text),
    createdAt: needed(date, EPOCH),
    updatedAt: optional(date),
    edition: needed(count, 0),
    rev: needed(count, 0),
  },
  rules: [
    {
      field: 'cron',
      says: "it has neither 'cron' nor 'every'",
      holds: ({ cron, every }) => cron !== undefined || every !== undefined,
      fits: { $or: [{ $ne: [{ $type: '$cron' }, 'missing'] }, { $ne: [{ $type: '$every' }, 'missing'] }] },
    },
  ],
}

const KEY: Shape = {
  fields: {
    _id: needed(text),
    name: optional(text),
    hash: needed(matching(/^[0-9a-f]{64}$/, 'a SHA-256 in hex')),
    scopes: needed(listOf(text)),
    queues: optional(listOf(text)),
    names: optional(listOf(text)),
    createdAt: optional(date),
    expiresAt: optional(date),
    revokedAt: optional(date),
  },
  secret: true,
}

const WORKER: Shape = {
  fields: {
    _id: needed(text),
    name: needed(text, 'unknown'),
    host: optional(text),
    role: needed(text, 'worker'),
    url: optional(text),
    secretIds: optional(listOf(text)),
    state: needed(text, 'dead'),
    boot: optional(text),
    until: optional(date),
    leaseMs: optional(whole(1, MOST)),
    queues: needed(listOf(text), []),
    tasks: needed(listOf(text), []),
    slots: needed(number, 0),
    running: needed(number, 0),
    load: needed(
      object({
        cpu: needed(number),
        rss: needed(number),
        memoryFree: needed(number),
        eventLoopDelayMs: needed(number),
      }),
      { cpu: 0, rss: 0, memoryFree: 0, eventLoopDelayMs: 0 },
    ),
    gate: optional(object({ open: needed(flag), lazy: optional(flag), reason: optional(text) })),
    control: optional(object({ action: needed(text), by: needed(text) })),
    heartbeatMs: needed(whole(1, MOST), 2_500),
    version: optional(text),
    startedAt: optional(date),
    heartbeatAt: needed(date, EPOCH),
    stoppedAt: optional(date),
    expireAt: optional(date),
    pid: optional(anything),
    rev: optional(count),
  },
}

const EVENT: Shape = {
  fields: {
    _id: needed(id),
    name: needed(text, 'unknown'),
    props: optional(anything),
    scheduledFor: needed(date, EPOCH),
    priority: optional(whole(1, 10)),
    status: needed(oneOf(EVENT_STATUSES), 'failed'),
    tasks: needed(listOf(id), []),
    results: optional(listOf(object({}))),
    createdAt: needed(date, EPOCH),
    startedAt: optional(date),
    processedAt: optional(date),
    updatedAt: optional(date),
    rev: needed(count, 0),
  },
}

const CALLBACK: Shape = {
  fields: {
    _id: needed(id),
    event: needed(text),
    task: needed(text),
    version: needed(whole(0, MOST)),
    defaults: needed(
      object({
        input: optional(object({})),
        queue: optional(text),
        priority: optional(whole(1, 10)),
        lazy: optional(flag),
        maxAttempts: optional(whole(1, MOST)),
      }),
    ),
    createdAt: optional(date),
    updatedAt: optional(date),
    rev: needed(count),
  },
}

const ERROR: Shape = {
  fields: {
    _id: needed(text),
    code: needed(text, 'UNKNOWN'),
    name: needed(text, 'Error'),
    message: needed(text, ''),
    stack: optional(text),
    state: needed(text, 'open'),
    count: needed(count, 0),
    trend: needed(listOf(object({ hour: needed(date), count: needed(count) })), []),
    tasks: needed(listOf(text), []),
    versions: needed(listOf(text), []),
    hosts: needed(listOf(text), []),
    samples: needed(listOf(id), []),
    firstSeenAt: needed(date, EPOCH),
    lastSeenAt: needed(date, EPOCH),
    reopened: optional(count),
    marked: optional(object({ by: needed(text), at: needed(date) })),
    ignoredUntil: optional(date),
    notifiedAt: optional(date),
    rev: needed(count, 0),
  },
}

const AUDIT_ENTRY: Shape = {
  fields: {
    _id: needed(id),
    at: needed(date),
    by: needed(text),
    action: needed(text),
    tasks: optional(listOf(id)),
    matched: optional(count),
    changed: optional(count),
  },
}

const LOG_BATCH: Shape = {
  fields: {
    task: needed(id),
    attempt: needed(count),
    from: needed(count),
    lines: needed(listOf(object({ seq: needed(count) }))),
  },
}

const THROTTLE: Shape = { fields: { _id: needed(text), task: needed(id), until: needed(date) } }

/** One shape for each collection whose documents code relies on. */
export const SHAPES = {
  tasks: TASK,
  queues: QUEUE,
  schedules: SCHEDULE,
  keys: KEY,
  workers: WORKER,
  events: EVENT,
  callbacks: CALLBACK,
  errors: ERROR,
  audit: AUDIT_ENTRY,
  taskLogs: LOG_BATCH,
  throttles: THROTTLE,
} as const satisfies Record<string, Shape>

export type ShapedCollection = keyof typeof SHAPES

export const isShaped = (collection: string): collection is ShapedCollection => Object.hasOwn(SHAPES, collection)
