import type { Fleet, Principal, TaskDocument } from '@taskfleet/core'
import {
  type Created,
  checkTasks,
  parseId,
  requireReach,
  storeTasks,
  toFullRow,
  withIds,
} from '@taskfleet/core/internal'
import { type EditRequest, FleetError, type TaskRow } from '@taskfleet/protocol'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { BODY_LIMITS, tooLarge } from '../body.ts'
import type { IdempotencyKeys } from '../idempotency.ts'
import { seenRev } from '../if-match.ts'
import { listQuery, listTasks, streamTasks } from '../list-tasks.ts'
import { RevConflict } from '../problem.ts'
import { documented, type RestRoute, route } from '../route.ts'
import * as tasks from '../schemas/tasks.ts'
import { idParams } from '../schemas/values.ts'

const NDJSON = 'application/x-ndjson'
const NEW_TASK_CODES =
  'READ_ONLY_FIELD UNKNOWN_FIELD BAD_NAME BAD_QUEUE BAD_ID BAD_INPUT BAD_DATE BAD_VALUE OUT_OF_RANGE BAD_JSON BAD_STRING INPUT_TOO_LARGE REQUEST_TIMEOUT UNSUPPORTED_MEDIA_TYPE'.split(
    ' ',
  )

/** Storing, listing, showing, changing and removing tasks. */
export function taskRoutes({ fleet, idempotency }: { fleet: Fleet; idempotency: IdempotencyKeys }): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/tasks',
      scope: 'read',
      tag: 'tasks',
      summary: 'List tasks',
      description: `Page by page with \`cursor\`, which stays exact while tasks come and go; with \`Accept: ${NDJSON}\` all that match, a line each.`,
      query: listQuery,
      answers: { 200: z.object({ tasks: z.array(tasks.taskRow), cursor: z.string().optional() }) },
      codes: [
        'BAD_FILTER',
        'FILTER_TOO_BIG',
        'BAD_SORT',
        'BAD_FIELDS',
        'BAD_CURSOR',
        'BAD_ID',
        'BAD_VALUE',
        'UNKNOWN_FIELD',
        'QUERY_TOO_SLOW',
      ],
      handle: async ({ principal, query, request, reply }) => {
        void reply.header('vary', 'accept')
        if (!(request.headers.accept ?? '').includes(NDJSON)) return listTasks(fleet, principal, query)
        return reply.type(NDJSON).send(streamTasks(fleet, principal, query))
      },
    }),
    route({
      method: 'POST',
      url: '/tasks',
      scope: 'write',
      tag: 'tasks',
      summary: 'Store a task, or a list of them',
      description:
        'A list of up to 10,000 is stored as a whole or not at all. The same `_id` with the same content is the same task (200). With an `Idempotency-Key` the same request has the same answer for a day.',
      headers: z.object({ 'idempotency-key': z.string().max(255).optional() }),
      body: documented(z.union([tasks.newTask, z.array(tasks.newTask).min(1).max(10_000)])),
      bodyLimit: BODY_LIMITS.many,
      answers: { 201: taskOrTasks, 200: taskOrTasks },
      codes: [
        ...NEW_TASK_CODES,
        'QUEUE_FULL',
        'QUEUE_NOT_ALLOWED',
        'NAME_NOT_ALLOWED',
        'NOT_FOUND',
        'TASK_EXISTS',
        'KEY_EXISTS',
        'IDEMPOTENCY_CONFLICT',
        'TOO_MANY_TASKS',
        'DEPENDENCY_CYCLE',
      ],
      handle: async ({ principal, body, request, reply }) => {
        if (!Array.isArray(body) && request.bodyBytes > BODY_LIMITS.one) throw tooLarge(BODY_LIMITS.one)
        const checked = checkTasks(principal, body)
        const key = request.headers['idempotency-key']
        const shown = ({ tasks }: Created): object => ('one' in checked ? tasks[0]! : { tasks })
        if (key === undefined) {
          const created = await storeTasks(fleet, principal, checked)
          return reply.code(created.fresh ? 201 : 200).send(shown(created))
        }
        const asked = 'one' in checked ? [checked.one] : checked.batch
        const ids = asked.map(({ _id }) => _id.toHexString())
        const begun = await idempotency.begin(`${principal.id} POST /tasks`, String(key), body, ids)
        if ('body' in begun) {
          return reply
            .code(begun.status)
            .header('idempotency-replayed', 'true')
            .type('application/json; charset=utf-8')
            .serializer(String)
            .send(begun.body)
        }
        const created = await storeTasks(fleet, principal, withIds(checked, begun.ids))
        const given = await begun.keep({ status: 201, body: JSON.stringify(shown(created)) })
        return reply.code(given.status).type('application/json; charset=utf-8').serializer(String).send(given.body)
      },
    }),
    route({
      method: 'GET',
      url: '/tasks/:id',
      scope: 'read',
      tag: 'tasks',
      summary: 'Show a task',
      description: 'Its `ETag` is its revision, for `If-Match`.',
      params: idParams,
      answers: { 200: tasks.task },
      codes: ['BAD_ID', 'NOT_FOUND', 'QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED'],
      handle: async ({ principal, params, reply }) => {
        const found = await taskFor(fleet, principal, params.id)
        void reply.header('etag', `"${found.rev}"`)
        return toFullRow<TaskRow>('tasks', found)
      },
    }),
    route({
      method: 'PATCH',
      url: '/tasks/:id',
      scope: 'control',
      tag: 'tasks',
      summary: 'Change a task that waits',
      params: idParams,
      headers: z.object({
        'if-match': z
          .string()
          .optional()
          .meta({ description: 'The revision that was seen', examples: ['"3"'] }),
      }),
      body: documented(tasks.changes),
      bodyLimit: BODY_LIMITS.one,
      answers: { 200: tasks.task },
      codes: [
        ...NEW_TASK_CODES,
        'NOT_FOUND',
        'QUEUE_NOT_ALLOWED',
        'NAME_NOT_ALLOWED',
        'NOT_WAITING',
        'REV_CONFLICT',
        'DEPENDENCY_CYCLE',
      ],
      handle: async ({ principal, control, params, body, request, reply }) => {
        const asked = toEdit(params.id!, body, request)
        const edited = await control.edit(asked).catch(async (error: unknown) => {
          if (!(error instanceof FleetError) || error.code !== 'REV_CONFLICT') throw error
          const now = await taskFor(fleet, principal, params.id)
          throw new RevConflict(`It was changed meanwhile and is at revision ${now.rev}`, now.rev)
        })
        void reply.header('etag', `"${edited.rev}"`)
        return edited
      },
    }),
    route({
      method: 'DELETE',
      url: '/tasks/:id',
      scope: 'control',
      tag: 'tasks',
      summary: 'Remove an ended task with its log lines',
      params: idParams,
      answers: { 204: null },
      codes: ['BAD_ID', 'NOT_FOUND', 'QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED', 'NOT_ENDED', 'AWAITED'],
      handle: async ({ fleet, params }) => fleet.tasks.remove(params.id!),
    }),
  ]
}

const taskOrTasks = z.union([tasks.task, z.object({ tasks: z.array(tasks.task) })])

/** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
export async function taskFor(fleet: Fleet, principal: Principal, id: unknown): Promise<TaskDocument> {
  const found = await fleet.store.find(parseId(id))
  if (found === null) throw new FleetError('NOT_FOUND', 'There is no such task', { field: 'id' })
  requireReach(principal, found)
  return found
}

/** @throws {FleetError} `BAD_REQUEST`, `BAD_VALUE` */
function toEdit(id: string, body: unknown, { headers }: FastifyRequest): EditRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new FleetError('BAD_REQUEST', 'Changes are an object with at least one field')
  }
  const { rev, reason, ...changes } = body as { rev?: unknown; reason?: unknown } & EditRequest['changes']
  if (reason !== undefined && (typeof reason !== 'string' || reason.length > 500)) {
    throw new FleetError('BAD_VALUE', "'reason' is a text of up to 500 characters", { field: 'reason' })
  }
  const seen = seenRev(headers['if-match'])
  if (seen !== undefined && rev !== undefined && seen !== rev) {
    throw new FleetError('BAD_VALUE', "'rev' and If-Match name two revisions", { field: 'rev' })
  }
  const wanted = seen ?? (rev as number | undefined)
  return { id, changes, ...(wanted === undefined ? {} : { rev: wanted }), ...(reason === undefined ? {} : { reason }) }
}
