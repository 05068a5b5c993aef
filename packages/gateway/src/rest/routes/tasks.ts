import { Readable } from 'node:stream'
import type { Fleet } from '@taskfleet/core'
import { type Created, checkTasks, readTasks, storeTasks, withIds } from '@taskfleet/core/internal'
import { OPERATIONS, type TaskRow } from '@taskfleet/protocol'
import { shapes } from '@taskfleet/protocol/internal'
import { z } from 'zod'
import { BODY_LIMITS, tooLarge } from '../body.ts'
import type { IdempotencyKeys } from '../idempotency.ts'
import { listQuery, listRequest } from '../query-text.ts'
import { type RestRoute, route } from '../route.ts'

const NDJSON = 'application/x-ndjson'
const { list, enqueueMany, show } = OPERATIONS.tasks
const taskOrTasks = z.union([shapes.storedTask, z.object({ tasks: z.array(shapes.storedTask) })])
const ofOne = { method: 'GET', scope: 'read', tag: 'tasks', params: z.object({ id: shapes.hexId }) } as const

/** The routes beyond the operations: streams of tasks, idempotency keys, a task's attempts and audit entries. */
export function taskRoutes({ fleet, idempotency }: { fleet: Fleet; idempotency: IdempotencyKeys }): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/tasks',
      scope: 'read',
      tag: 'tasks',
      summary: list.summary,
      description: `${list.notes} With \`Accept: ${NDJSON}\` all matching tasks, one per line.`,
      query: listQuery,
      answers: { 200: list.answer },
      codes: list.codes,
      handle: async ({ principal, fleet: operations, query, request, reply }) => {
        void reply.header('vary', 'accept')
        const asked = listRequest(query)
        if (!(request.headers.accept ?? '').includes(NDJSON)) return operations.tasks.list(asked)
        return reply.type(NDJSON).send(Readable.from(lines(readTasks(fleet.tasks, principal, asked))))
      },
    }),
    route({
      method: 'POST',
      url: '/tasks',
      scope: 'write',
      tag: 'tasks',
      summary: 'Store a task, or a list of them',
      description:
        'A list of up to 10,000 tasks is stored as a whole or not at all. The same `_id` with the same content is the same task (200). With an `Idempotency-Key` the same request gets the same answer for a day.',
      headers: z.object({ 'idempotency-key': z.string().max(255).optional() }),
      body: z.union([shapes.newTask, z.array(shapes.newTask).min(1).max(10_000)]),
      checkedByCore: true,
      bodyLimit: BODY_LIMITS.many,
      answers: { 201: taskOrTasks, 200: taskOrTasks },
      codes: [...enqueueMany.codes, 'IDEMPOTENCY_CONFLICT'],
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
      ...ofOne,
      url: '/tasks/:id/attempts',
      summary: 'Its attempts, the latest 100',
      answers: {
        200: z.object({
          attempts: z.array(shapes.attempt),
          dropped: z.int().min(0).describe('How many older ones were removed'),
        }),
      },
      codes: show.codes,
      handle: async ({ fleet, params }) => {
        const { attempts = [], attemptsDropped = 0 } = await fleet.tasks.show({ id: params.id! })
        return { attempts, dropped: attemptsDropped }
      },
    }),
    route({
      ...ofOne,
      url: '/tasks/:id/audit',
      summary: 'Who did what to it, the latest first',
      query: z.strictObject({ limit: z.string().optional() }),
      checkedByCore: true,
      answers: { 200: z.object({ entries: z.array(shapes.auditEntry) }) },
      codes: [...show.codes, 'BAD_SORT', 'UNKNOWN_FIELD'],
      handle: async ({ fleet, params, query: { limit, ...rest } }) => {
        const most = limit === undefined ? {} : { limit: /^[1-9]\d{0,3}$/.test(limit) ? Number(limit) : Number.NaN }
        return { entries: await fleet.audit.list({ id: params.id!, ...most, ...rest }) }
      },
    }),
  ]
}

async function* lines(tasks: AsyncIterable<TaskRow>): AsyncGenerator<string> {
  for await (const task of tasks) yield `${JSON.stringify(task)}\n`
}
