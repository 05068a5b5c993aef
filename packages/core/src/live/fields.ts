import type { CollectionName } from '@taskfleet/protocol'

/** How a field's values are stored, which decides how a client's text is read. */
export type FieldType = 'id' | 'text' | 'date' | 'number' | 'boolean' | 'any'

export interface CollectionFields {
  /** Fields that may be queried and sorted by, dotted ones included. */
  readonly known: Readonly<Record<string, FieldType>>
  /** Fields whose content is the user's own: any path below them may be queried. */
  readonly open: readonly string[]
  /** Known fields that hold lists, which have no order. */
  readonly lists: readonly string[]
  /** What a row holds when `fields` doesn't say otherwise. */
  readonly rowWithout: readonly string[]
}

const TASK_FIELDS: CollectionFields = {
  known: {
    _id: 'id',
    name: 'text',
    version: 'number',
    status: 'text',
    queue: 'text',
    priority: 'number',
    basePriority: 'number',
    runAt: 'date',
    order: 'date',
    deadline: 'date',
    raiseAt: 'date',
    deadlineMissedAt: 'date',
    lazy: 'boolean',
    attempt: 'number',
    failures: 'number',
    lost: 'number',
    maxAttempts: 'number',
    'retry.counts': 'text',
    'retry.decay': 'boolean',
    timeout: 'number',
    totalTimeout: 'number',
    stall: 'number',
    checkpointAttempt: 'number',
    attemptsDropped: 'number',
    worker: 'text',
    publicUrl: 'text',
    'control.action': 'text',
    'control.by': 'text',
    'error.code': 'text',
    'error.name': 'text',
    'error.message': 'text',
    'error.fingerprint': 'text',
    key: 'text',
    parent: 'id',
    after: 'id',
    ifFailed: 'text',
    replayOf: 'id',
    schedule: 'text',
    event: 'id',
    rev: 'number',
    createdAt: 'date',
    updatedAt: 'date',
    claimedAt: 'date',
    startedAt: 'date',
    finishedAt: 'date',
    expireAt: 'date',
  },
  open: ['input', 'output', 'progress', 'checkpoint'],
  lists: ['after'],
  rowWithout: ['input', 'output', 'attempts', 'checkpoint'],
}

const WORKER_FIELDS: CollectionFields = {
  known: {
    _id: 'text',
    boot: 'text',
    until: 'date',
    leaseMs: 'number',
    name: 'text',
    host: 'text',
    pid: 'number',
    role: 'text',
    url: 'text',
    state: 'text',
    queues: 'text',
    tasks: 'text',
    slots: 'number',
    running: 'number',
    heartbeatMs: 'number',
    version: 'text',
    startedAt: 'date',
    heartbeatAt: 'date',
    stoppedAt: 'date',
    rev: 'number',
  },
  open: ['load', 'gate', 'control'],
  lists: ['queues', 'tasks'],
  rowWithout: [],
}

const ERROR_FIELDS: CollectionFields = {
  known: {
    _id: 'text',
    code: 'text',
    name: 'text',
    message: 'text',
    state: 'text',
    count: 'number',
    tasks: 'text',
    versions: 'text',
    hosts: 'text',
    firstSeenAt: 'date',
    lastSeenAt: 'date',
    reopened: 'number',
    ignoredUntil: 'date',
    notifiedAt: 'date',
    rev: 'number',
  },
  open: [],
  lists: ['tasks', 'versions', 'hosts'],
  rowWithout: [],
}

const QUEUE_FIELDS: CollectionFields = {
  known: {
    _id: 'text',
    paused: 'boolean',
    concurrency: 'number',
    'rate.limit': 'number',
    'rate.per': 'number',
    maxWaiting: 'number',
    by: 'text',
    updatedAt: 'date',
    rev: 'number',
  },
  open: [],
  lists: [],
  rowWithout: [],
}

const EVENT_FIELDS: CollectionFields = {
  known: {
    _id: 'id',
    name: 'text',
    status: 'text',
    priority: 'number',
    scheduledFor: 'date',
    createdAt: 'date',
    startedAt: 'date',
    processedAt: 'date',
    updatedAt: 'date',
    tasks: 'id',
    rev: 'number',
  },
  open: ['props', 'results'],
  lists: ['tasks'],
  rowWithout: [],
}

const SCHEDULE_FIELDS: CollectionFields = {
  known: {
    _id: 'text',
    task: 'text',
    version: 'number',
    'options.queue': 'text',
    'options.priority': 'number',
    'options.lazy': 'boolean',
    'options.maxAttempts': 'number',
    'options.deadlineAfter': 'number',
    cron: 'text',
    every: 'number',
    timeZone: 'text',
    startsAt: 'date',
    endsAt: 'date',
    missed: 'text',
    overlap: 'text',
    paused: 'boolean',
    nextAt: 'date',
    lastSlot: 'date',
    lastTask: 'id',
    'lastSkipped.slot': 'date',
    'lastSkipped.reason': 'text',
    by: 'text',
    createdAt: 'date',
    updatedAt: 'date',
    edition: 'number',
    rev: 'number',
  },
  open: ['input'],
  lists: [],
  rowWithout: ['input'],
}

export const FIELDS: Record<CollectionName, CollectionFields> = {
  tasks: TASK_FIELDS,
  workers: WORKER_FIELDS,
  queues: QUEUE_FIELDS,
  schedules: SCHEDULE_FIELDS,
  events: EVENT_FIELDS,
  errors: ERROR_FIELDS,
}

/** Never leaves the server side, whatever is asked for. */
export const SECRET_FIELDS: Record<CollectionName, readonly string[]> = {
  tasks: ['lease', 'slot', 'signature', 'predecessors'],
  workers: ['expireAt'],
  queues: [],
  schedules: [],
  events: ['expireAt'],
  errors: ['expireAt', 'notice'],
}

const PATH = /^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype'])

/** The type of a path that may be queried, or undefined. */
export function fieldType(collection: CollectionName, path: string): FieldType | undefined {
  const { known, open } = FIELDS[collection]
  if (Object.hasOwn(known, path)) return known[path]
  const parts = path.split('.')
  if (!PATH.test(path) || parts.length > 8 || parts.some((part) => FORBIDDEN.has(part))) return undefined
  return parts.length > 1 && open.includes(parts[0]!) ? 'any' : undefined
}
