import { z } from 'zod'
import type {
  AttentionRow,
  AuditEntry,
  BulkRequest,
  BulkRow,
  CallbackRequest,
  CallbackRow,
  CommandAnswer,
  CommandRequest,
  CoverageRow,
  EditRequest,
  EnqueueRequest,
  ErrorMarkRequest,
  ErrorRow,
  ErrorState,
  EventChanges,
  EventRequest,
  EventRow,
  EventStatus,
  Explanation,
  HandlerRow,
  HistoryRequest,
  HistoryRow,
  KeyEdit,
  KeyRequest,
  KeyRow,
  LogRequest,
  NewSchedule,
  Pruned,
  PruneRequest,
  QuerySort,
  QueueLimits,
  QueueListRow,
  QueueRow,
  ReplayRequest,
  ReprioritiseRequest,
  Retention,
  ScheduleChanges,
  ScheduleRow,
  Scope,
  SetAsideRow,
  StoredLogLine,
  StoredTask,
  TaskRow,
  TimingRequest,
  WaitingRow,
  WorkerRow,
} from './protocol.ts'
import { byCore } from './shapes/by-core.ts'
import * as shapes from './shapes/index.ts'

/**
 * One operation of a fleet. The table is the single source for all interfaces: the dispatcher, the socket, the REST API with its
 * OpenAPI document, the clients and the command line are made from it.
 */
export interface Operation<Request = unknown, Answer = unknown> {
  /** The scope that a key needs. */
  readonly scope: Scope
  readonly summary: string
  /** More details for the documents. */
  readonly notes?: string
  /** A field that is marked with `byCore` is documented here and checked by the core. */
  readonly request: z.ZodType<Request>
  /** Null if there is no answer. */
  readonly answer: z.ZodType | null
  /** The operation's own error codes. Every operation also has the common ones. */
  readonly codes?: readonly string[]
  /** The field that may be passed alone as a text: `cancel(id)` is `cancel({ id })`. */
  readonly by?: string
  /** Whether it changes something. Each change and each refusal is in the audit log. */
  readonly writes: boolean
  /** It applies to a selection of tasks. REST and the command line have it for one task and for many. */
  readonly selects?: true
  /** Method and path below `/api/v1`, or null. */
  readonly rest: string | null
  /** The command, or null. By default the verb for tasks, and the aggregate with the verb for all others: `schedules pause`. */
  readonly cli: string | null
  /** The name of the list in the REST response. */
  readonly list?: string
  /** The field whose content is the REST body. The other fields are beside it. */
  readonly body?: string
  /** The field of the answer that is the ETag, and the field of the request that `If-Match` sets. */
  readonly etag?: string
  /** It creates something, so REST responds with 201. */
  readonly makes?: true
  /** Only for the type checker. */
  readonly answers?: Answer
}

/** The request type of an operation, including a text for its `by` field. */
type Asked<One> =
  One extends Operation<infer Request, unknown>
    ? One extends { by: string }
      ? [request: Request | string]
      : object extends Request
        ? [request?: Request]
        : [request: Request]
    : never
type Answered<One> = One extends { answers?: infer Answer } ? Exclude<Answer, undefined> : never

/** Every operation as a method of its aggregate, as in `fleet.as(principal)` and `FleetClient`. */
export type FleetOperations = {
  readonly [Aggregate in keyof typeof OPERATIONS]: {
    [Verb in keyof (typeof OPERATIONS)[Aggregate]]: (
      ...asked: Asked<(typeof OPERATIONS)[Aggregate][Verb]>
    ) => Promise<Answered<(typeof OPERATIONS)[Aggregate][Verb]>>
  }
}

/** As `FleetOperations`, for the core: the request is always given and has been checked. */
export type OperationHandlers = {
  readonly [Aggregate in keyof typeof OPERATIONS]: {
    [Verb in keyof (typeof OPERATIONS)[Aggregate]]: (
      request: Wanted<(typeof OPERATIONS)[Aggregate][Verb]>,
    ) => Promise<Answered<(typeof OPERATIONS)[Aggregate][Verb]>>
  }
}
type Wanted<One> = One extends { request: z.ZodType<infer Request> } ? Request : never

const id = byCore(shapes.hexId)
const name = byCore(shapes.scheduleName)
const reason = shapes.reason.optional()
const worker = z.string().min(1).max(64)
const key = z.string().min(1).max(64)
const fingerprint = z.string().min(1).max(64)
const limit = (most: number): z.ZodType =>
  z
    .int()
    .min(1)
    .max(most)
    .optional()
    .describe(`The most to return, up to ${most.toLocaleString('en')}`)
const cursor = byCore(z.string().max(4_096).optional().describe("The previous answer's `cursor`, for the next page"))
const attempt = z.int().min(1)
/** A strict object, typed as the request. */
const shape = <Request>(fields: z.ZodRawShape): z.ZodType<Request> =>
  z.strictObject(fields) as unknown as z.ZodType<Request>
const BY_ID = { request: shape<{ id: string }>({ id }), by: 'id' }
const BY_NAME = { request: shape<{ name: string }>({ name }), by: 'name' }
const BY_NAME_WITH_REASON = { request: shape<{ name: string; reason?: string }>({ name, reason }), by: 'name' }
/** A request that the core checks completely, so that its errors name the field. */
const ofTime = shape<HistoryRequest>({
  unit: byCore(z.enum(['minute', 'hour']))
    .optional()
    .describe("'minute' or 'hour'; minutes by default"),
  since: byCore(shapes.date).optional().describe('60 minutes or hours before the end by default'),
  until: byCore(shapes.date).optional().describe('Now by default'),
  queue: shapes.queueName.optional().describe('Only this queue'),
  name: shapes.name.optional().describe('Only tasks of this name'),
})

const checkedByCore = <Request>(schema: z.ZodType): z.ZodType<Request> =>
  byCore(schema) as unknown as z.ZodType<Request>
/** A schema that checks the request itself, typed as the request. */
const as = <Request>(schema: z.ZodType): z.ZodType<Request> => schema as unknown as z.ZodType<Request>

const VALUES = ['BAD_VALUE', 'UNKNOWN_FIELD', 'BAD_JSON', 'BAD_STRING']
const REACH = ['QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED']
const FOUND = ['BAD_ID', 'NOT_FOUND', ...REACH]
const TIMING = ['BAD_CRON', 'BAD_EVERY', 'BAD_TIME_ZONE', 'BAD_DATE', 'BAD_VALUE']
const STORED = ['BAD_NAME', 'BAD_QUEUE', 'BAD_INPUT', 'INPUT_TOO_LARGE', 'OUT_OF_RANGE', ...VALUES, ...REACH]
const NEW_TASK = ['READ_ONLY_FIELD', 'BAD_ID', 'BAD_DATE', 'REQUEST_TIMEOUT', 'UNSUPPORTED_MEDIA_TYPE', ...STORED]
const SELECTING = ['BAD_ID', 'OUT_OF_RANGE', 'INPUT_TOO_LARGE', 'REQUEST_TIMEOUT', ...VALUES, ...REACH]

type Given = Omit<Operation, 'scope' | 'writes' | 'request' | 'answers' | 'cli'> & { cli?: string | null }

function read<Answer>() {
  return <Request, Rest extends Given & { scope?: Scope }>(
    one: { request: z.ZodType<Request> } & Rest,
  ): Operation<Request, Answer> & Rest => ({ scope: 'read', writes: false, ...one }) as never
}

function write<Answer>(scope: Scope) {
  return <Request, Rest extends Given>(
    one: { request: z.ZodType<Request> } & Rest,
  ): Operation<Request, Answer> & Rest => ({ scope, writes: true, ...one }) as never
}

const { ids, filter, ...others } = shapes.selection
const selection = { id: id.optional(), ids: byCore(ids), filter: byCore(filter), ...others }

/** Gives each operation its default command. */
function withCommands<Table extends Record<string, object>>(table: Table): Table {
  const named = Object.entries(table).map(([aggregate, verbs]) => {
    const prefix = aggregate === 'tasks' ? '' : `${aggregate} `
    const operations = Object.entries(verbs).map(([verb, operation]) => [verb, { cli: prefix + verb, ...operation }])
    return [aggregate, Object.fromEntries(operations)]
  })
  return Object.fromEntries(named) as Table
}

/** A selection needs exactly one of the three. The core checks it; this is for the documents. */
const oneOf = [{ required: ['id'] }, { required: ['ids'] }, { required: ['filter'] }]
const commandRequest = z.strictObject(selection).meta({ id: 'CommandRequest', oneOf })

/** A command on the tasks of a selection. */
const onTasks = <Request = CommandRequest>(
  verb: string,
  summary: string,
  codes: readonly string[],
  request: z.ZodType = commandRequest,
) =>
  write<CommandAnswer>('control')({
    summary,
    request: as<Request>(request),
    answer: shapes.commandAnswer,
    codes: [...SELECTING, ...codes],
    by: 'id',
    selects: true,
    rest: `POST /tasks/:id/${verb}`,
  })

const table = {
  tasks: {
    enqueue: write<StoredTask>('write')({
      summary: 'Store a task',
      request: checkedByCore<EnqueueRequest>(shapes.newTask),
      answer: shapes.storedTask,
      codes: [...NEW_TASK, 'INPUT_INVALID', 'QUEUE_FULL', 'NOT_FOUND', 'TASK_EXISTS', 'KEY_EXISTS', 'DEPENDENCY_CYCLE'],
      rest: 'POST /tasks',
      makes: true,
    }),
    enqueueMany: write<StoredTask[]>('write')({
      summary: 'Store up to 10,000 tasks, all or none',
      request: shape<{ tasks: readonly EnqueueRequest[] }>({ tasks: byCore(z.array(shapes.newTask)) }),
      answer: z.array(shapes.storedTask),
      codes: [
        ...NEW_TASK,
        'INPUT_INVALID',
        'QUEUE_FULL',
        'NOT_FOUND',
        'TASK_EXISTS',
        'KEY_EXISTS',
        'TOO_MANY_TASKS',
        'DEPENDENCY_CYCLE',
      ],
      rest: 'POST /tasks',
      cli: null,
      list: 'tasks',
      makes: true,
    }),
    list: read<{ tasks: TaskRow[]; cursor?: string }>()({
      summary: 'List tasks',
      notes:
        'Use `cursor` for the next page. Pages stay exact while tasks are added and removed. A page ends at 512 KiB, so it may have fewer rows than `limit`. In a history of more than 100,000 tasks, only sorts that an index has are possible: `_id`, or `finishedAt` for ended tasks.',
      request: shape<{
        filter?: Record<string, unknown>
        sort?: QuerySort
        limit?: number
        fields?: readonly string[]
        cursor?: string
      }>({
        filter: byCore(shapes.filter.optional()),
        sort: byCore(shapes.sort.optional()),
        limit: byCore(z.int().optional().describe('The most to return, up to 1,000')),
        fields: byCore(z.array(z.string()).optional()),
        cursor,
      }),
      answer: z.object({ tasks: z.array(shapes.taskRow), cursor: z.string().optional() }),
      codes: [
        'BAD_FILTER',
        'FILTER_TOO_BIG',
        'BAD_SORT',
        'BAD_FIELDS',
        'BAD_CURSOR',
        'BAD_ID',
        ...VALUES,
        'QUERY_NOT_INDEXED',
        'QUERY_TOO_SLOW',
      ],
      rest: 'GET /tasks',
    }),
    show: read<TaskRow>()({
      summary: 'One task with its input, output and attempts',
      ...BY_ID,
      answer: shapes.task,
      codes: FOUND,
      rest: 'GET /tasks/:id',
      etag: 'rev',
    }),
    cancel: onTasks('cancel', 'Cancel tasks; for running ones, request it from their workers', ['ALREADY_ENDED']),
    pause: onTasks('pause', 'Pause tasks; a running one frees its slot and keeps its checkpoint', [
      'ALREADY_ENDED',
      'NOT_WAITING',
    ]),
    resume: onTasks('resume', 'Resume paused tasks', ['ALREADY_ENDED', 'NOT_PAUSED']),
    retry: onTasks('retry', 'Run failed and cancelled tasks again, with all their tries', [
      'ALREADY_COMPLETED',
      'NOT_ENDED',
      'KEY_EXISTS',
    ]),
    replay: onTasks<ReplayRequest>(
      'replay',
      'Make new tasks from ended ones',
      ['NOT_ENDED', 'KEY_EXISTS', 'QUEUE_FULL', 'REPLAY_NOT_ALLOWED'],
      z
        .strictObject({
          ...selection,
          input: byCore(z.unknown().optional().describe('A new input, for a single task')),
        })
        .meta({ id: 'ReplayRequest', oneOf, dependentRequired: { input: ['id'] } }),
    ),
    reprioritise: onTasks<ReprioritiseRequest>(
      'reprioritise',
      'Change the priority or position of waiting tasks',
      ['ALREADY_ENDED', 'NOT_WAITING'],
      z
        .strictObject({
          ...selection,
          priority: byCore(shapes.priority.optional()),
          position: byCore(shapes.position.optional()),
        })
        .meta({
          id: 'ReprioritiseRequest',
          oneOf,
          anyOf: [{ required: ['priority'] }, { required: ['position'] }],
        }),
    ),
    edit: write<TaskRow>('control')({
      summary: 'Change a waiting task',
      request: shape<EditRequest>({
        id,
        rev: byCore(z.int().min(1).optional().describe('Only if it is still at this revision')),
        changes: byCore(shapes.changes),
        reason,
      }),
      answer: shapes.task,
      codes: [...NEW_TASK, 'INPUT_INVALID', 'NOT_FOUND', 'NOT_WAITING', 'REV_CONFLICT', 'DEPENDENCY_CYCLE'],
      rest: 'PATCH /tasks/:id',
      body: 'changes',
      etag: 'rev',
    }),
    remove: write<void>('control')({
      summary: 'Remove an ended task with its log lines',
      ...BY_ID,
      answer: null,
      codes: [...FOUND, 'NOT_ENDED', 'AWAITED'],
      rest: 'DELETE /tasks/:id',
    }),
    explain: read<Explanation>()({
      summary: 'Explain why a task does not run',
      ...BY_ID,
      answer: shapes.explanation,
      codes: FOUND,
      rest: 'GET /tasks/:id/explain',
    }),
    log: read<StoredLogLine[]>()({
      summary: 'The newest stored log lines before `before`, the oldest of them first',
      request: shape<LogRequest>({
        id,
        attempt: attempt.optional().describe('Only lines of this attempt'),
        before: z
          .strictObject({ attempt, seq: z.int().min(1) })
          .optional()
          .describe('An attempt and a line number, such as `2.100` in REST'),
        limit: limit(2_000),
      }),
      answer: z.array(shapes.logLine),
      codes: [...FOUND, 'BAD_VALUE', 'BAD_SORT', 'UNKNOWN_FIELD'],
      by: 'id',
      rest: 'GET /tasks/:id/log',
      list: 'lines',
    }),
    coverage: read<CoverageRow[]>()({
      summary: 'The names and versions that wait, and the workers that serve them',
      request: shape<object>({}),
      answer: z.array(shapes.coverageRow),
      rest: 'GET /coverage',
      list: 'coverage',
    }),
    history: read<HistoryRow[]>()({
      summary: 'What ended, by minute for two days and by hour for 90 days',
      request: ofTime,
      answer: z.array(shapes.historyRow),
      codes: ['BAD_DATE', 'BAD_VALUE', 'OUT_OF_RANGE', 'TOO_BIG', 'QUERY_TOO_SLOW'],
      rest: 'GET /history',
      list: 'history',
    }),
    waiting: read<WaitingRow[]>()({
      summary: 'How many tasks waited, and for how long the oldest had: by minute for two days and by hour for 90 days',
      request: ofTime,
      answer: z.array(shapes.waitingRow),
      codes: ['BAD_DATE', 'BAD_VALUE', 'OUT_OF_RANGE', 'QUERY_TOO_SLOW'],
      rest: 'GET /waiting',
      list: 'waiting',
    }),
  },
  bulk: {
    start: write<BulkRow>('control')({
      summary: 'Start a command on up to 100,000 tasks, which a gateway carries out',
      notes:
        'The tasks are selected at once. Each is changed by the same rules as by the command itself. `GET /bulk/:id` has the progress. If the gateway ends, another one goes on, and no task is changed twice. If the key loses the scope `control` or a part of its reach, that applies to the remaining tasks.',
      request: as<BulkRequest>(shapes.bulkRequest),
      answer: shapes.bulkRow,
      codes: [...SELECTING, 'TOO_MANY', 'BAD_FILTER', 'FILTER_TOO_BIG', 'QUERY_TOO_SLOW'],
      rest: 'POST /bulk',
      makes: true,
    }),
    list: read<BulkRow[]>()({
      summary: 'Bulk operations of the last 30 days, the newest first',
      request: shape<{ limit?: number }>({ limit: limit(1_000) }),
      answer: z.array(shapes.bulkRow),
      codes: ['BAD_SORT', 'UNKNOWN_FIELD'],
      rest: 'GET /bulk',
      list: 'operations',
    }),
    show: read<BulkRow>()({
      summary: 'One bulk operation with its progress',
      ...BY_ID,
      answer: shapes.bulkRow,
      codes: ['BAD_ID', 'NOT_FOUND'],
      rest: 'GET /bulk/:id',
    }),
    stop: write<BulkRow>('control')({
      summary: 'Stop a bulk operation: the remaining tasks stay as they are',
      ...BY_ID,
      answer: shapes.bulkRow,
      codes: ['BAD_ID', 'NOT_FOUND', 'ALREADY_ENDED'],
      rest: 'POST /bulk/:id/stop',
    }),
    undo: write<BulkRow>('control')({
      summary: 'Undo an ended bulk operation by the opposite one: pause, resume or reprioritise',
      notes:
        'It applies to the tasks that the operation has changed, for 7 days after its start. After `reprioritise`, each task gets its earlier priority.',
      request: shape<{ id: string; reason?: string }>({ id, reason }),
      answer: shapes.bulkRow,
      codes: ['BAD_ID', 'NOT_FOUND', 'NOT_ENDED', 'NO_UNDO', 'TOO_MANY'],
      by: 'id',
      rest: 'POST /bulk/:id/undo',
      makes: true,
    }),
  },
  events: {
    post: write<EventRow>('write')({
      summary: 'Post an event: one task for each callback of its name, all or none',
      request: checkedByCore<EventRequest>(shapes.newEvent),
      answer: shapes.event,
      codes: [...STORED, 'BAD_ID', 'BAD_DATE', 'EVENT_EXISTS', 'QUEUE_FULL'],
      rest: 'POST /events',
      makes: true,
    }),
    list: read<EventRow[]>()({
      summary: 'Events, the newest first; with `after`, the oldest first',
      request: shape<{ name?: string; status?: EventStatus; after?: string; limit?: number }>({
        name: z.string().optional().describe('Only events of this name'),
        status: shapes.eventStatus.optional().describe('Only events with this status'),
        after: byCore(shapes.hexId.optional().describe('Only events after this one, to follow the log')),
        limit: limit(1_000),
      }),
      answer: z.array(shapes.event),
      codes: ['BAD_ID', 'BAD_SORT', ...VALUES],
      rest: 'GET /events',
      list: 'events',
    }),
    show: read<EventRow>()({
      summary: 'One event with its results',
      ...BY_ID,
      answer: shapes.event,
      codes: ['BAD_ID', 'NOT_FOUND'],
      rest: 'GET /events/:id',
    }),
    edit: write<EventRow>('control')({
      summary: 'Change the date or priority of an event whose tasks all wait',
      request: shape<{ id: string; changes: EventChanges }>({
        id,
        changes: byCore(
          shapes.newEvent.pick({ scheduledFor: true, priority: true }).partial().meta({ minProperties: 1 }),
        ),
      }),
      answer: shapes.event,
      codes: [...FOUND, 'NOT_WAITING', 'BAD_DATE', 'OUT_OF_RANGE', 'UNKNOWN_FIELD'],
      rest: 'PATCH /events/:id',
      body: 'changes',
    }),
    cancel: write<CommandAnswer>('control')({
      summary: 'Cancel all tasks of an event that have not ended',
      request: shape<{ id: string; reason?: string }>({ id, reason }),
      answer: shapes.commandAnswer,
      codes: FOUND,
      by: 'id',
      rest: 'POST /events/:id/cancel',
    }),
    retry: write<CommandAnswer>('control')({
      summary: 'Run the failed and cancelled tasks of an event again',
      request: shape<{ id: string; reason?: string }>({ id, reason }),
      answer: shapes.commandAnswer,
      codes: FOUND,
      by: 'id',
      rest: 'POST /events/:id/retry',
    }),
    remove: write<void>('control')({
      summary: 'Remove an ended event from the log',
      ...BY_ID,
      answer: null,
      codes: ['BAD_ID', 'NOT_FOUND', 'NOT_ENDED'],
      rest: 'DELETE /events/:id',
    }),
  },
  callbacks: {
    create: write<CallbackRow>('control')({
      summary: 'Run a task whenever an event of a name arrives',
      request: checkedByCore<CallbackRequest>(shapes.newCallback),
      answer: shapes.callback,
      codes: [...STORED, 'BAD_ID', 'CALLBACK_EXISTS'],
      rest: 'POST /callbacks',
      makes: true,
    }),
    list: read<CallbackRow[]>()({
      summary: 'Callbacks: which task runs when which event arrives',
      request: shape<{ event?: string; limit?: number }>({
        event: z.string().optional().describe('Only callbacks of this event'),
        limit: limit(1_000),
      }),
      answer: z.array(shapes.callback),
      codes: ['BAD_SORT', ...VALUES],
      rest: 'GET /callbacks',
      list: 'callbacks',
    }),
    show: read<CallbackRow>()({
      summary: 'One callback',
      ...BY_ID,
      answer: shapes.callback,
      codes: FOUND,
      rest: 'GET /callbacks/:id',
    }),
    edit: write<CallbackRow>('control')({
      summary: 'Change a callback; queued tasks stay as they are',
      request: shape<{ id: string; changes: Partial<Omit<CallbackRequest, '_id'>>; rev?: number }>({
        id,
        changes: byCore(shapes.callbackChanges),
        rev: byCore(z.int().optional().describe('Only if it still has this revision')),
      }),
      answer: shapes.callback,
      codes: [...STORED, 'BAD_ID', 'NOT_FOUND', 'REV_CONFLICT'],
      rest: 'PATCH /callbacks/:id',
      body: 'changes',
    }),
    replace: write<CallbackRow>('control')({
      summary: 'Make or replace a callback exactly as given',
      request: shape<{ id: string; callback: Omit<CallbackRequest, '_id'>; rev?: number }>({
        id,
        callback: byCore(shapes.newCallback.omit({ _id: true })),
        rev: byCore(z.int().optional()),
      }),
      answer: shapes.callback,
      codes: [...STORED, 'BAD_ID', 'REV_CONFLICT'],
      rest: 'PUT /callbacks/:id',
      cli: null,
      body: 'callback',
    }),
    remove: write<void>('control')({
      summary: 'Remove a callback; queued tasks stay as they are',
      ...BY_ID,
      answer: null,
      codes: FOUND,
      rest: 'DELETE /callbacks/:id',
    }),
  },
  schedules: {
    create: write<ScheduleRow>('control')({
      summary: 'Make a schedule; safe to repeat with the same settings',
      request: checkedByCore<NewSchedule>(shapes.newSchedule),
      answer: shapes.schedule,
      codes: [...TIMING, ...STORED, 'SCHEDULE_EXISTS', 'INPUT_INVALID'],
      rest: 'POST /schedules',
      makes: true,
    }),
    list: read<ScheduleRow[]>()({
      summary: 'Schedules by name, without their inputs',
      request: shape<{ limit?: number }>({ limit: limit(1_000) }),
      answer: z.array(shapes.schedule),
      codes: ['BAD_SORT', ...VALUES],
      rest: 'GET /schedules',
      list: 'schedules',
    }),
    show: read<ScheduleRow>()({
      summary: 'One schedule',
      ...BY_NAME,
      answer: shapes.schedule,
      codes: ['BAD_NAME', 'NOT_FOUND', ...REACH],
      rest: 'GET /schedules/:name',
      etag: 'edition',
    }),
    edit: write<ScheduleRow>('control')({
      summary: 'Change a schedule; queued tasks stay as they are',
      notes: 'Of `options`, only the given ones change. The next slot moves only if the timing changes.',
      request: shape<{ name: string; changes: ScheduleChanges; edition?: number }>({
        name,
        changes: byCore(shapes.scheduleChanges),
        edition: z.int().optional().describe('Only if it still has this edition'),
      }),
      answer: shapes.schedule,
      codes: [...TIMING, ...STORED, 'NOT_FOUND', 'REV_CONFLICT', 'INPUT_INVALID'],
      rest: 'PATCH /schedules/:name',
      body: 'changes',
      etag: 'edition',
    }),
    replace: write<ScheduleRow>('control')({
      summary: 'Make or replace a schedule exactly as given',
      notes: 'Omitted settings get their defaults. The next slot moves only if the timing changes.',
      request: shape<{ name: string; schedule: Omit<NewSchedule, '_id'>; edition?: number }>({
        name,
        schedule: byCore(shapes.newSchedule.omit({ _id: true })),
        edition: z.int().optional(),
      }),
      answer: shapes.schedule,
      codes: [...TIMING, ...STORED, 'REV_CONFLICT', 'INPUT_INVALID'],
      rest: 'PUT /schedules/:name',
      cli: null,
      body: 'schedule',
      etag: 'edition',
    }),
    pause: write<ScheduleRow>('control')({
      summary: 'Pause a schedule: its slots make no tasks',
      ...BY_NAME_WITH_REASON,
      answer: shapes.schedule,
      codes: ['BAD_NAME', 'NOT_FOUND', ...REACH, 'REV_CONFLICT'],
      rest: 'POST /schedules/:name/pause',
    }),
    resume: write<ScheduleRow>('control')({
      summary: 'Resume a schedule with the next slot from now',
      ...BY_NAME_WITH_REASON,
      answer: shapes.schedule,
      codes: ['BAD_NAME', 'NOT_FOUND', ...REACH, 'REV_CONFLICT'],
      rest: 'POST /schedules/:name/resume',
    }),
    run: write<TaskRow>('control')({
      summary: "Make a schedule's task now; its slots stay the same",
      ...BY_NAME_WITH_REASON,
      answer: shapes.task,
      codes: ['BAD_NAME', 'NOT_FOUND', ...REACH, 'UNSIGNED_TASK', 'BAD_SIGNATURE'],
      rest: 'POST /schedules/:name/run',
      makes: true,
    }),
    remove: write<void>('control')({
      summary: 'Remove a schedule; queued tasks stay as they are',
      ...BY_NAME,
      answer: null,
      codes: ['BAD_NAME', 'NOT_FOUND', ...REACH],
      rest: 'DELETE /schedules/:name',
    }),
    preview: read<string[]>()({
      summary: 'The next slots of a timing, with or without a schedule',
      request: shape<TimingRequest & { count?: number }>({
        cron: byCore(shapes.timing.cron),
        every: byCore(shapes.timing.every),
        timeZone: byCore(shapes.timing.timeZone),
        startsAt: byCore(shapes.timing.startsAt),
        endsAt: byCore(shapes.timing.endsAt),
        count: z.int().min(1).max(100).optional().describe('How many slots, up to 100'),
      }),
      answer: z.array(shapes.date),
      codes: TIMING,
      rest: 'GET /schedules/preview',
      list: 'slots',
    }),
  },
  queues: {
    list: read<QueueListRow[]>()({
      summary: 'Queues with tasks or settings, with counts by status',
      request: shape<object>({}),
      answer: z.array(shapes.queue),
      codes: ['QUERY_TOO_SLOW'],
      rest: 'GET /queues',
      list: 'queues',
    }),
    pause: write<QueueRow>('control')({
      summary: 'Pause a queue: its tasks are not claimed; running ones go on',
      request: shape<{ name: string; reason?: string }>({ name: byCore(shapes.queueName), reason }),
      answer: shapes.queueSettings,
      codes: ['BAD_QUEUE', 'QUEUE_NOT_ALLOWED'],
      by: 'name',
      rest: 'PATCH /queues/:name',
    }),
    resume: write<QueueRow>('control')({
      summary: 'Resume a queue: its tasks are claimed again',
      request: shape<{ name: string; reason?: string }>({ name: byCore(shapes.queueName), reason }),
      answer: shapes.queueSettings,
      codes: ['BAD_QUEUE', 'QUEUE_NOT_ALLOWED'],
      by: 'name',
      rest: 'PATCH /queues/:name',
    }),
    limit: write<QueueRow>('control')({
      summary: 'Limit how many tasks of a queue run at once, start within a time, or wait; null removes a limit',
      request: shape<{ name: string; limits: QueueLimits }>({
        name: byCore(shapes.queueName),
        limits: shapes.queueLimits,
      }),
      answer: shapes.queueSettings,
      codes: ['BAD_QUEUE', 'QUEUE_NOT_ALLOWED', 'BAD_DURATION', 'OUT_OF_RANGE', ...VALUES],
      rest: 'PATCH /queues/:name',
    }),
    replace: write<QueueRow>('control')({
      summary: 'Replace the settings of a queue; omitted settings get their defaults',
      request: shape<{ name: string; settings: QueueLimits & { paused?: boolean }; reason?: string }>({
        name: byCore(shapes.queueName),
        settings: shapes.queueLimits.extend({ paused: z.boolean().optional() }),
        reason,
      }),
      answer: shapes.queueSettings,
      codes: ['BAD_QUEUE', 'QUEUE_NOT_ALLOWED', 'BAD_DURATION', 'OUT_OF_RANGE', ...VALUES],
      rest: 'PUT /queues/:name',
      cli: null,
      body: 'settings',
    }),
  },
  workers: {
    list: read<WorkerRow[]>()({
      summary: 'Workers and gateways, including those that stopped within a day',
      request: shape<object>({}),
      answer: z.array(shapes.worker),
      rest: 'GET /workers',
      cli: 'workers',
      list: 'workers',
    }),
    drain: write<WorkerRow>('control')({
      summary: 'Drain a worker: it claims nothing new; running tasks go on',
      request: shape<{ worker: string }>({ worker }),
      answer: shapes.worker,
      codes: ['NOT_FOUND'],
      by: 'worker',
      rest: 'POST /workers/:worker/drain',
      cli: 'drain',
    }),
    resume: write<WorkerRow>('control')({
      summary: 'Resume a worker: it claims tasks again',
      request: shape<{ worker: string }>({ worker }),
      answer: shapes.worker,
      codes: ['NOT_FOUND'],
      by: 'worker',
      rest: 'POST /workers/:worker/resume',
      cli: 'undrain',
    }),
  },
  errors: {
    list: read<ErrorRow[]>()({
      summary: 'Recurring errors by fingerprint, the latest first',
      request: shape<{ state?: ErrorState; limit?: number }>({
        state: shapes.errorState.optional().describe('Only errors in this state'),
        limit: limit(1_000),
      }),
      answer: z.array(shapes.errorGroup),
      codes: ['BAD_VALUE', 'BAD_SORT', 'UNKNOWN_FIELD'],
      rest: 'GET /errors',
      list: 'errors',
    }),
    mark: write<ErrorRow>('control')({
      summary: 'Resolve, ignore or reopen an error, or change its owner and note',
      request: shape<ErrorMarkRequest>({
        fingerprint,
        state: shapes.errorState.optional().describe('Unchanged by default'),
        until: shapes.date
          .max(40)
          .optional()
          .describe('Ignore it until this date; after that, it opens again when it comes back'),
        resolvedIn: z
          .string()
          .max(200)
          .optional()
          .describe(
            '`name@version`: it is resolved in, and opens again only from this version on or from another handler',
          ),
        owner: z.string().max(100).nullable().optional().describe('Who takes care of it'),
        note: z.string().max(2_000).nullable().optional().describe('For other people'),
      }).meta({ anyOf: [{ required: ['state'] }, { required: ['owner'] }, { required: ['note'] }] }),
      answer: shapes.errorGroup,
      codes: ['NOT_FOUND', 'BAD_DATE', ...VALUES],
      rest: 'PATCH /errors/:fingerprint',
      cli: 'errors resolve',
    }),
  },
  keys: {
    list: read<KeyRow[]>()({
      scope: 'admin',
      summary: 'All keys, without their secrets',
      request: shape<object>({}),
      answer: z.array(shapes.key),
      rest: 'GET /keys',
      list: 'keys',
    }),
    show: read<KeyRow>()({
      scope: 'admin',
      summary: 'One key',
      request: shape<{ id: string }>({ id: key }),
      answer: shapes.key,
      codes: ['NOT_FOUND'],
      by: 'id',
      rest: 'GET /keys/:id',
    }),
    create: write<{ id: string; token: string }>('admin')({
      summary: 'Make a key; its token is shown only once. The first key locks the fleet',
      request: as<KeyRequest>(shapes.newKey),
      answer: shapes.madeKey,
      codes: ['BAD_DATE', ...VALUES],
      rest: 'POST /keys',
      makes: true,
    }),
    edit: write<KeyRow>('admin')({
      summary: 'Change a key; connections that it opened with other rights are closed within a second',
      request: shape<{ id: string; changes: KeyEdit }>({ id: key, changes: shapes.keyChanges }),
      answer: shapes.key,
      codes: ['BAD_DATE', ...VALUES, 'NOT_FOUND', 'ALREADY_REVOKED'],
      rest: 'PATCH /keys/:id',
      body: 'changes',
    }),
    revoke: write<void>('admin')({
      summary: 'Revoke a key; connections that it opened are closed within a second',
      request: shape<{ id: string }>({ id: key }),
      answer: null,
      codes: ['NOT_FOUND'],
      by: 'id',
      rest: 'DELETE /keys/:id',
    }),
  },
  retention: {
    show: read<Retention>()({
      summary: 'How long ended tasks are kept, in milliseconds; null to keep them forever',
      request: shape<object>({}),
      answer: shapes.retention,
      rest: 'GET /retention',
      cli: 'retention',
    }),
    set: write<Retention>('admin')({
      summary: 'Change how long tasks that end from now on are kept',
      request: as<Partial<Retention>>(shapes.retentionChanges),
      answer: shapes.retention,
      codes: [...VALUES, 'OUT_OF_RANGE'],
      rest: 'PATCH /retention',
      cli: 'retention',
    }),
    prune: write<Pruned>('admin')({
      summary: 'Permanently remove ended tasks and their log lines',
      notes:
        'It answers when it is done, which may take minutes. It continues if the client disconnects, and may be repeated.',
      request: as<PruneRequest>(shapes.pruneRequest),
      answer: shapes.pruned,
      codes: VALUES,
      rest: 'POST /prune',
      cli: 'prune',
    }),
  },
  audit: {
    list: read<AuditEntry[]>()({
      summary: 'The audit log, the latest first; with `id`, the entries of one task',
      request: shape<{ id?: string; limit?: number }>({
        id: id.optional().describe('Only entries of this task'),
        limit: limit(1_000),
      }),
      answer: z.array(shapes.auditEntry),
      codes: ['BAD_SORT', 'BAD_CURSOR', 'UNKNOWN_FIELD'],
      rest: 'GET /audit',
      cli: 'audit',
      list: 'entries',
    }),
  },
  handlers: {
    list: read<HandlerRow[]>()({
      summary: 'The handlers of live workers, by name and version',
      request: shape<object>({}),
      answer: z.array(shapes.handlerRow),
      rest: 'GET /handlers',
      cli: 'handlers',
      list: 'handlers',
    }),
  },
  attention: {
    list: read<AttentionRow[]>()({
      summary: 'What needs somebody, the most urgent first; empty if all is well',
      notes:
        'Tasks that nobody serves, queues that are behind or paused, silent workers, missed schedules, deadlines that come soon, errors that are new or rise, documents that are set aside, and a missing secret. The answer may be two seconds old.',
      request: shape<object>({}),
      answer: z.array(shapes.attentionRow),
      codes: ['QUERY_TOO_SLOW'],
      rest: 'GET /attention',
      cli: 'status',
      list: 'attention',
    }),
  },
  documents: {
    list: read<SetAsideRow[]>()({
      summary: 'Malformed documents that are set aside, the oldest first; at most 1,000',
      request: shape<object>({}),
      answer: z.array(shapes.setAsideDocument),
      rest: 'GET /set-aside',
      cli: 'documents',
      list: 'documents',
    }),
  },
}

export const OPERATIONS = withCommands(table)
