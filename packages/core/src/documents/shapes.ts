import { STATUSES } from '@taskfleet/protocol'
import { shapes } from '@taskfleet/protocol/internal'
import {
  anything,
  date,
  either,
  type Field,
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
import { count, MOST, storedFields } from './wire-schema.ts'

const EPOCH = new Date(0)
const level = whole(1, 10)
const atLeastOne = whole(1, MOST)

/** Clients always get this field, but a stored document may lack it. */
const mayBeAbsent = { needed: false }
/** The code that reads this field can handle any value. */
const unchecked = optional(anything)

/** A task's own limits. The code that uses them checks them. */
const budget = (before: string): Record<string, Field> =>
  Object.fromEntries(['retry', 'timeout', 'totalTimeout', 'stall'].map((name) => [`${before}${name}`, unchecked]))

/** A lease of earlier versions with a date, or of a session. */
const lease = either(
  object({ id: needed(text), worker: needed(text), expiresAt: needed(date) }),
  object({ id: needed(text), session: needed(text) }),
)

const hasLease: Rule = {
  field: 'lease',
  says: "'lease' is missing from a running task",
  holds: ({ status, lease }) => status !== 'running' || lease !== undefined,
  fits: { $or: [{ $ne: ['$status', 'running'] }, { $ne: [{ $type: '$lease' }, 'missing'] }] },
}

const TASK: Shape = {
  fields: storedFields(shapes.task, {
    name: { instead: 'unknown' },
    version: { instead: 1 },
    status: { kind: oneOf(STATUSES), instead: 'failed' },
    queue: { instead: 'default' },
    priority: { kind: level, instead: 5 },
    basePriority: { kind: level, instead: 5 },
    runAt: { instead: EPOCH },
    order: { instead: EPOCH },
    lazy: { instead: false },
    attempt: { instead: 0 },
    failures: { instead: 0 },
    lost: { instead: 0 },
    maxAttempts: { kind: atLeastOne, instead: 1 },
    attempts: { needed: true, instead: [] },
    'attempts.worker': mayBeAbsent,
    'attempts.claimedAt': mayBeAbsent,
    'attempts.lease': optional(text),
    'attempts.survived': unchecked,
    'attempts.error': optional(object({})),
    rev: { instead: 1 },
    createdAt: { instead: EPOCH },
    updatedAt: { instead: EPOCH },
    'control.at': mayBeAbsent,
    'error.name': unchecked,
    'error.fingerprint': unchecked,
    'error.stack': unchecked,
    ifFailed: unchecked,
    checkpointAttempt: unchecked,
    ...budget(''),
    lease: optional(lease),
    slot: optional(text),
    keyUntil: optional(text),
    predecessors: unchecked,
    signature: unchecked,
  }),
  rules: [hasLease],
}

/** The fields of a waiting task that a worker keeps. */
export const HINT: Shape = {
  fields: Object.fromEntries(
    ['_id', 'name', 'version', 'queue', 'priority', 'order', 'runAt', 'lazy'].map((name) => [name, TASK.fields[name]!]),
  ),
}

const QUEUE: Shape = {
  fields: storedFields(shapes.queueSettings, {
    paused: mayBeAbsent,
    concurrency: { kind: atLeastOne },
    'rate.limit': { kind: atLeastOne },
    'rate.per': { kind: atLeastOne },
    updatedAt: mayBeAbsent,
    rev: mayBeAbsent,
  }),
}

const SCHEDULE: Shape = {
  fields: storedFields(shapes.schedule, {
    'options.priority': { kind: level },
    'options.maxAttempts': { kind: atLeastOne },
    ...budget('options.'),
    every: { kind: atLeastOne },
    by: mayBeAbsent,
    updatedAt: mayBeAbsent,
  }),
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
  fields: storedFields(shapes.key.omit({ id: true, state: true }), {
    _id: needed(text),
    hash: needed(matching(/^[0-9a-f]{64}$/, 'a SHA-256 in hex')),
    name: mayBeAbsent,
    createdAt: mayBeAbsent,
  }),
  secret: true,
}

const WORKER: Shape = {
  fields: storedFields(shapes.worker, {
    host: mayBeAbsent,
    leaseMs: { kind: atLeastOne },
    heartbeatMs: { kind: atLeastOne },
    pid: unchecked,
    secretIds: { kind: listOf(text) },
    slots: { kind: number },
    running: { kind: number },
    'load.hostCpu': unchecked,
    'load.memoryLeft': unchecked,
    disks: unchecked,
    'gate.lazy': mayBeAbsent,
    'control.at': unchecked,
    version: mayBeAbsent,
    startedAt: mayBeAbsent,
    rev: mayBeAbsent,
    expireAt: optional(date),
  }),
}

const EVENT: Shape = {
  fields: storedFields(shapes.event, {
    priority: { kind: level },
    status: { kind: oneOf(shapes.eventStatus.options) },
    results: { kind: listOf(object({})) },
    updatedAt: mayBeAbsent,
  }),
}

const CALLBACK: Shape = {
  fields: storedFields(shapes.callback, {
    'defaults.priority': { kind: level },
    'defaults.maxAttempts': { kind: atLeastOne },
    ...budget('defaults.'),
    createdAt: mayBeAbsent,
    updatedAt: mayBeAbsent,
  }),
}

const ERROR: Shape = { fields: storedFields(shapes.errorGroup, { reopened: mayBeAbsent }) }

const AUDIT_ENTRY: Shape = {
  fields: storedFields(shapes.auditEntry, {
    tasks: mayBeAbsent,
    matched: mayBeAbsent,
    changed: mayBeAbsent,
    target: unchecked,
    filter: unchecked,
    reason: unchecked,
    refused: unchecked,
  }),
}

const BULK: Shape = {
  fields: storedFields(shapes.bulkRow, {
    parts: { kind: count, needed: true },
    next: { kind: count, needed: true },
    doing: optional(listOf(object({ _id: needed(id), rev: needed(number), status: needed(text) }))),
    sample: { kind: listOf(id) },
  }),
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

/** The shapes of all collections whose documents must be well-formed. */
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
  bulk: BULK,
  taskLogs: LOG_BATCH,
  throttles: THROTTLE,
} as const satisfies Record<string, Shape>

export type ShapedCollection = keyof typeof SHAPES

export const isShaped = (collection: string): collection is ShapedCollection => Object.hasOwn(SHAPES, collection)
