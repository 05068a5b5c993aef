import { z } from 'zod'
import type { FleetControl } from './fleet-control.ts'
import type {
  AuditEntry,
  CallbackRequest,
  CallbackRow,
  CommandAnswer,
  CommandRequest,
  CoverageRow,
  EditRequest,
  EnqueueRequest,
  ErrorRow,
  ErrorState,
  EventChanges,
  EventRequest,
  EventRow,
  EventStatus,
  Explanation,
  KeyEdit,
  KeyRequest,
  KeyRow,
  NewSchedule,
  Pruned,
  PruneRequest,
  QueueLimits,
  QueueListRow,
  QueueRow,
  ReplayRequest,
  ReprioritiseRequest,
  Retention,
  ScheduleChanges,
  ScheduleRow,
  Scope,
  StoredLogLine,
  TaskRow,
  TimingRequest,
  WorkerRow,
} from './protocol.ts'

/**
 * One thing that can be asked of a fleet. What every door needs to know about it stands here once: the socket, REST, the clients,
 * the command line and the documents are made from it or compared with it.
 */
export interface Operation<Request = unknown, Answer = unknown> {
  /** What a key needs. */
  readonly scope: Scope
  readonly summary: string
  /** The outer shape of the request. What is inside, such as a filter or an input, the core checks, which knows every field. */
  readonly request: z.ZodType<Request>
  /** The field for which a text alone may stand: `cancel(id)` is `cancel({ id })`. */
  readonly by?: string
  /** It changes something, and each deed and each refusal is on record. */
  readonly writes: boolean
  /** Method and path below `/api/v1`, or null. */
  readonly rest: string | null
  /** The command, or null. */
  readonly cli: string | null
  /** For the compiler only. */
  readonly answers?: Answer
}

/** What an operation is asked with: texts for its `by` as well. */
type Asked<One> =
  One extends Operation<infer Request, unknown>
    ? One extends { by: string }
      ? [request: Request | string]
      : object extends Request
        ? [request?: Request]
        : [request: Request]
    : never
type Answered<One> = One extends { answers?: infer Answer } ? Exclude<Answer, undefined> : never

/** Every operation as a method of its aggregate: what `fleet.as(principal)` and `FleetClient` have. */
export type FleetOperations = {
  readonly [Aggregate in keyof typeof OPERATIONS]: {
    [Verb in keyof (typeof OPERATIONS)[Aggregate]]: (
      ...asked: Asked<(typeof OPERATIONS)[Aggregate][Verb]>
    ) => Promise<Answered<(typeof OPERATIONS)[Aggregate][Verb]>>
  }
}

/** The same as the core carries it out: its request is there and has been checked. */
export type OperationHandlers = {
  readonly [Aggregate in keyof typeof OPERATIONS]: {
    [Verb in keyof (typeof OPERATIONS)[Aggregate]]: (
      request: Wanted<(typeof OPERATIONS)[Aggregate][Verb]>,
    ) => Promise<Answered<(typeof OPERATIONS)[Aggregate][Verb]>>
  }
}
type Wanted<One> = One extends { request: z.ZodType<infer Request> } ? Request : never

const text = (most: number): z.ZodString => z.string().min(1).max(most)
const unknown = z.unknown()
const reason = z.string().max(500).optional()
const id = z.unknown()
const limit = z.int().min(1).max(10_000).optional()
const attempt = z.int().min(1)
const rev = z.unknown().optional()
/** A strict object, as the type that it stands for. */
const shape = <Request>(fields: z.ZodRawShape): z.ZodType<Request> =>
  z.strictObject(fields) as unknown as z.ZodType<Request>
/** Everything is checked by the core, which says which field is wrong. */
const anything = <Request>(): z.ZodType<Request> => unknown as z.ZodType<Request>

const selection = {
  id: id.optional(),
  ids: id.optional(),
  filter: id.optional(),
  dryRun: z.boolean().optional(),
  reason,
}
const named = { name: unknown }
const why = { name: unknown, reason }

function read<Answer>() {
  return <Request, By extends { by?: string }>(
    one: {
      summary: string
      request: z.ZodType<Request>
      rest: string | null
      cli: string | null
      scope?: Scope
    } & By,
  ): Operation<Request, Answer> & By => ({ scope: 'read', writes: false, ...one })
}

function write<Answer>(scope: Scope) {
  return <Request, By extends { by?: string }>(
    one: {
      summary: string
      request: z.ZodType<Request>
      rest: string | null
      cli: string | null
    } & By,
  ): Operation<Request, Answer> & By => ({ scope, writes: true, ...one })
}

/** A command on the tasks of a selection, under the same name at every door. */
const onTasks = (verb: string, summary: string) =>
  write<CommandAnswer>('control')({
    summary,
    request: shape<CommandRequest>(selection),
    by: 'id',
    rest: `POST /tasks/:id/${verb}`,
    cli: verb,
  })

export const OPERATIONS = {
  tasks: {
    enqueue: write<TaskRow>('write')({
      summary: 'Store a task',
      request: anything<EnqueueRequest>(),
      rest: 'POST /tasks',
      cli: 'enqueue',
    }),
    enqueueMany: write<TaskRow[]>('write')({
      summary: 'Store up to 10,000 tasks, all or none',
      request: shape<{ tasks: readonly EnqueueRequest[] }>({ tasks: unknown }),
      rest: 'POST /tasks',
      cli: null,
    }),
    show: read<TaskRow>()({
      summary: 'One task with its input, output and attempts',
      request: shape<{ id: string }>({ id }),
      by: 'id',
      rest: 'GET /tasks/:id',
      cli: 'show',
    }),
    cancel: onTasks('cancel', 'End tasks, or ask their workers to'),
    pause: onTasks('pause', 'Hold tasks back; a running one gives its slot up and keeps its checkpoint'),
    resume: onTasks('resume', 'Let paused tasks go on'),
    retry: onTasks('retry', 'Let failed and cancelled tasks wait again, with all their tries'),
    replay: write<CommandAnswer>('control')({
      summary: 'Make new tasks from ended ones',
      request: shape<ReplayRequest>({ ...selection, input: unknown.optional() }),
      by: 'id',
      rest: 'POST /tasks/:id/replay',
      cli: 'replay',
    }),
    reprioritise: write<CommandAnswer>('control')({
      summary: 'Give waiting tasks another priority or place',
      request: shape<ReprioritiseRequest>({
        ...selection,
        priority: unknown.optional(),
        position: unknown.optional(),
      }),
      rest: 'POST /tasks/:id/reprioritise',
      cli: 'reprioritise',
    }),
    edit: write<TaskRow>('control')({
      summary: 'Change a waiting task',
      request: shape<EditRequest>({ id, rev, changes: unknown, reason }),
      rest: 'PATCH /tasks/:id',
      cli: 'edit',
    }),
    remove: write<void>('control')({
      summary: 'Remove an ended task with its log lines',
      request: shape<{ id: string }>({ id }),
      by: 'id',
      rest: 'DELETE /tasks/:id',
      cli: null,
    }),
    explain: read<Explanation>()({
      summary: 'Why a task does not run',
      request: shape<{ id: string }>({ id }),
      by: 'id',
      rest: 'GET /tasks/:id/explain',
      cli: 'explain',
    }),
    log: read<StoredLogLine[]>()({
      summary: 'Its newest stored log lines before `before`, the oldest of them first',
      request: shape<Parameters<FleetControl['taskLog']>[0]>({
        id,
        attempt: attempt.optional(),
        before: z.strictObject({ attempt, seq: z.int().min(1) }).optional(),
        limit,
      }),
      by: 'id',
      rest: 'GET /tasks/:id/log',
      cli: 'log',
    }),
    coverage: read<CoverageRow[]>()({
      summary: 'Which names and versions wait, and who serves them',
      request: shape<object>({}),
      rest: 'GET /coverage',
      cli: 'coverage',
    }),
  },
  events: {
    post: write<EventRow>('write')({
      summary: 'Post an event: one task for each callback of its name, all or none',
      request: anything<EventRequest>(),
      rest: 'POST /events',
      cli: 'events post',
    }),
    list: read<EventRow[]>()({
      summary: 'Events, the newest first; those after one, the oldest first',
      request: shape<{ name?: string; status?: EventStatus; after?: string; limit?: number }>({
        name: z.string().optional(),
        status: z.enum(['scheduled', 'processing', 'finished', 'failed', 'cancelled']).optional(),
        after: id.optional(),
        limit,
      }),
      rest: 'GET /events',
      cli: 'events list',
    }),
    show: read<EventRow>()({
      summary: 'One event with its results',
      request: shape<{ id: string }>({ id }),
      by: 'id',
      rest: 'GET /events/:id',
      cli: 'events show',
    }),
    edit: write<EventRow>('control')({
      summary: 'Change the date or priority of an event whose tasks all wait',
      request: shape<{ id: string; changes: EventChanges }>({ id, changes: unknown }),
      rest: 'PATCH /events/:id',
      cli: null,
    }),
    cancel: write<CommandAnswer>('control')({
      summary: 'Cancel all tasks of an event that have not ended',
      request: shape<{ id: string; reason?: string }>({ id, reason }),
      by: 'id',
      rest: 'POST /events/:id/cancel',
      cli: 'events cancel',
    }),
    remove: write<void>('control')({
      summary: 'Remove an ended event from the log',
      request: shape<{ id: string }>({ id }),
      by: 'id',
      rest: 'DELETE /events/:id',
      cli: 'events remove',
    }),
  },
  callbacks: {
    create: write<CallbackRow>('control')({
      summary: 'Run a task whenever an event of a name arrives',
      request: anything<CallbackRequest>(),
      rest: 'POST /callbacks',
      cli: 'callbacks create',
    }),
    list: read<CallbackRow[]>()({
      summary: 'Which task runs when which event arrives',
      request: shape<{ event?: string; limit?: number }>({ event: z.string().optional(), limit }),
      rest: 'GET /callbacks',
      cli: 'callbacks list',
    }),
    show: read<CallbackRow>()({
      summary: 'One callback',
      request: shape<{ id: string }>({ id }),
      by: 'id',
      rest: 'GET /callbacks/:id',
      cli: 'callbacks show',
    }),
    edit: write<CallbackRow>('control')({
      summary: 'Change a callback; queued tasks stay as they are',
      request: shape<{ id: string; changes: Partial<Omit<CallbackRequest, '_id'>>; rev?: number }>({
        id,
        changes: unknown,
        rev,
      }),
      rest: 'PATCH /callbacks/:id',
      cli: 'callbacks edit',
    }),
    remove: write<void>('control')({
      summary: 'Remove a callback; queued tasks stay as they are',
      request: shape<{ id: string }>({ id }),
      by: 'id',
      rest: 'DELETE /callbacks/:id',
      cli: 'callbacks remove',
    }),
  },
  schedules: {
    create: write<ScheduleRow>('control')({
      summary: 'Make a schedule; repeating it with the same settings is harmless',
      request: anything<NewSchedule>(),
      rest: 'POST /schedules',
      cli: 'schedules create',
    }),
    list: read<ScheduleRow[]>()({
      summary: 'Schedules by name, without their inputs',
      request: shape<{ limit?: number }>({ limit }),
      rest: 'GET /schedules',
      cli: 'schedules list',
    }),
    show: read<ScheduleRow>()({
      summary: 'One schedule',
      request: shape<{ name: string }>(named),
      by: 'name',
      rest: 'GET /schedules/:name',
      cli: 'schedules show',
    }),
    edit: write<ScheduleRow>('control')({
      summary: 'Change a schedule; queued tasks stay as they are',
      request: shape<{ name: string; changes: ScheduleChanges; edition?: number }>({
        name: unknown,
        changes: unknown,
        edition: z.int().optional(),
      }),
      rest: 'PATCH /schedules/:name',
      cli: 'schedules edit',
    }),
    pause: write<ScheduleRow>('control')({
      summary: 'Let its slots pass unused',
      request: shape<{ name: string; reason?: string }>(why),
      by: 'name',
      rest: 'POST /schedules/:name/pause',
      cli: 'schedules pause',
    }),
    resume: write<ScheduleRow>('control')({
      summary: 'Go on with the next slot from now on',
      request: shape<{ name: string; reason?: string }>(why),
      by: 'name',
      rest: 'POST /schedules/:name/resume',
      cli: 'schedules resume',
    }),
    run: write<TaskRow>('control')({
      summary: 'Make its task now, outside the slots',
      request: shape<{ name: string; reason?: string }>(why),
      by: 'name',
      rest: 'POST /schedules/:name/run',
      cli: 'schedules run',
    }),
    remove: write<void>('control')({
      summary: 'Remove a schedule; queued tasks stay as they are',
      request: shape<{ name: string }>(named),
      by: 'name',
      rest: 'DELETE /schedules/:name',
      cli: 'schedules remove',
    }),
    preview: read<string[]>()({
      summary: 'The next slots of a timing, whether or not a schedule has it',
      request: shape<TimingRequest & { count?: number }>({
        cron: unknown.optional(),
        every: unknown.optional(),
        timeZone: unknown.optional(),
        startsAt: unknown.optional(),
        endsAt: unknown.optional(),
        count: z.int().min(1).max(100).optional(),
      }),
      rest: 'GET /schedules/preview',
      cli: 'schedules preview',
    }),
  },
  queues: {
    list: read<QueueListRow[]>()({
      summary: 'Queues with tasks or settings, with counts by status',
      request: shape<object>({}),
      rest: 'GET /queues',
      cli: 'queues list',
    }),
    pause: write<QueueRow>('control')({
      summary: 'Claim nothing of a queue; what runs goes on',
      request: shape<{ name: string; reason?: string }>(why),
      by: 'name',
      rest: 'PATCH /queues/:name',
      cli: 'queues pause',
    }),
    resume: write<QueueRow>('control')({
      summary: 'Claim from a queue again',
      request: shape<{ name: string; reason?: string }>(why),
      by: 'name',
      rest: 'PATCH /queues/:name',
      cli: 'queues resume',
    }),
    limit: write<QueueRow>('control')({
      summary: 'Limit how many tasks of a queue run at once, start within a time, or wait; null removes a limit',
      request: shape<{ name: string; limits: QueueLimits }>({
        name: unknown,
        limits: z
          .strictObject({
            concurrency: unknown,
            rate: z.strictObject({ limit: unknown, per: unknown }).nullable(),
            maxWaiting: unknown,
          })
          .partial(),
      }),
      rest: 'PATCH /queues/:name',
      cli: 'queues limit',
    }),
  },
  workers: {
    list: read<WorkerRow[]>()({
      summary: 'Workers and gateways, including those that stopped within a day',
      request: shape<object>({}),
      rest: 'GET /workers',
      cli: 'workers',
    }),
    drain: write<WorkerRow>('control')({
      summary: 'Take nothing new; what runs goes on',
      request: shape<{ worker: string }>({ worker: text(64) }),
      by: 'worker',
      rest: 'POST /workers/:id/drain',
      cli: 'drain',
    }),
    resume: write<WorkerRow>('control')({
      summary: 'Take tasks again',
      request: shape<{ worker: string }>({ worker: text(64) }),
      by: 'worker',
      rest: 'POST /workers/:id/resume',
      cli: 'undrain',
    }),
  },
  errors: {
    list: read<ErrorRow[]>()({
      summary: 'Recurring errors by fingerprint, the latest first',
      request: shape<{ state?: ErrorState; limit?: number }>({
        state: z.enum(['open', 'resolved', 'ignored']).optional(),
        limit: z.int().min(1).max(1_000).optional(),
      }),
      rest: 'GET /errors',
      cli: 'errors list',
    }),
    mark: write<ErrorRow>('control')({
      summary: 'Resolve, ignore or reopen an error',
      request: shape<{ fingerprint: string; state: ErrorState; until?: string }>({
        fingerprint: text(64),
        state: z.enum(['open', 'resolved', 'ignored']),
        until: z.string().max(40).optional(),
      }),
      rest: 'PATCH /errors/:fingerprint',
      cli: 'errors resolve',
    }),
  },
  keys: {
    list: read<KeyRow[]>()({
      scope: 'admin',
      summary: 'Every key, without its secret',
      request: shape<object>({}),
      rest: 'GET /keys',
      cli: 'keys list',
    }),
    show: read<KeyRow>()({
      scope: 'admin',
      summary: 'One key',
      request: shape<{ id: string }>({ id: text(64) }),
      by: 'id',
      rest: 'GET /keys/:id',
      cli: 'keys show',
    }),
    create: write<{ id: string; token: string }>('admin')({
      summary: 'Make a key; its token is shown this once. The first key locks the fleet',
      request: shape<KeyRequest>(keyFields()),
      rest: 'POST /keys',
      cli: 'keys create',
    }),
    edit: write<KeyRow>('admin')({
      summary: 'Change a key; connections it opened under other rights are closed within a second',
      request: shape<{ id: string; changes: KeyEdit }>({ id: text(64), changes: keyChanges() }),
      rest: 'PATCH /keys/:id',
      cli: 'keys edit',
    }),
    revoke: write<void>('admin')({
      summary: 'Revoke a key; connections it opened are closed within a second',
      request: shape<{ id: string }>({ id: text(64) }),
      by: 'id',
      rest: 'DELETE /keys/:id',
      cli: 'keys revoke',
    }),
  },
  retention: {
    show: read<Retention>()({
      summary: 'How long ended tasks are kept, in milliseconds; null for ever',
      request: shape<object>({}),
      rest: 'GET /retention',
      cli: 'retention',
    }),
    set: write<Retention>('admin')({
      summary: 'Change how long tasks that end from now on are kept',
      request: shape<Partial<Retention>>(endings()),
      rest: 'PATCH /retention',
      cli: 'retention',
    }),
    prune: write<Pruned>('admin')({
      summary: 'Remove ended tasks and their log lines for good',
      request: shape<PruneRequest>({
        statuses: z
          .array(z.enum(['completed', 'failed', 'cancelled']))
          .min(1)
          .optional(),
        olderThanMs: z.number().min(0).optional(),
        name: z.string().optional(),
        dryRun: z.boolean().optional(),
      }),
      rest: 'POST /prune',
      cli: 'prune',
    }),
  },
  audit: {
    list: read<AuditEntry[]>()({
      summary: 'Who did what, the latest first; to one task with `id`',
      request: shape<{ id?: string; limit?: number }>({ id: id.optional(), limit }),
      rest: 'GET /audit',
      cli: 'audit',
    }),
  },
}

function keyFields(): z.ZodRawShape {
  return { name: z.string(), scopes: z.array(z.string()), ...keyLimits() }
}

function keyLimits(): z.ZodRawShape {
  const texts = z.array(z.string()).optional()
  return { queues: texts, names: texts, expiresAt: z.string().optional() }
}

/** Null takes a limit or the end away. */
function keyChanges(): z.ZodType {
  const texts = z.array(z.string()).nullable()
  return z
    .strictObject({
      name: z.string(),
      scopes: z.array(z.string()),
      queues: texts,
      names: texts,
      expiresAt: z.string().nullable(),
    })
    .partial()
}

function endings(): z.ZodRawShape {
  const kept = z.number().min(1_000).nullable().optional()
  return { completed: kept, failed: kept, cancelled: kept }
}
