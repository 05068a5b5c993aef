import type { Fleet } from '@taskfleet/core'
import { toFullRow } from '@taskfleet/core/internal'
import { FleetError, type TaskRow } from '@taskfleet/protocol'
import { z } from 'zod'
import { type RestRoute, route } from '../route.ts'
import * as tasks from '../schemas/tasks.ts'
import { idParams } from '../schemas/values.ts'
import { taskFor } from './tasks.ts'

const limit = z
  .string()
  .regex(/^[1-9]\d{0,3}$/, '1 to 9,999')
  .optional()
const codes = ['BAD_ID', 'NOT_FOUND', 'QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED']
const common = { method: 'GET', scope: 'read', tag: 'tasks', params: idParams } as const
const most = (asked: string | undefined): { limit?: number } => (asked === undefined ? {} : { limit: Number(asked) })

/** What happened to a task, and why nothing does. */
export function taskHistoryRoutes({ fleet }: { fleet: Fleet }): RestRoute[] {
  return [
    route({
      ...common,
      url: '/tasks/:id/attempts',
      summary: 'Its attempts, the latest 100',
      answers: {
        200: z.object({
          attempts: z.array(tasks.attempt),
          dropped: z.int().min(0).describe('How many older ones are gone'),
        }),
      },
      codes,
      handle: async ({ principal, params }) => {
        const { attempts = [], attemptsDropped = 0 } = toFullRow<TaskRow>(
          'tasks',
          await taskFor(fleet, principal, params.id),
        )
        return { attempts, dropped: attemptsDropped }
      },
    }),
    route({
      ...common,
      url: '/tasks/:id/log',
      summary: 'Its stored log lines',
      description: 'The newest ones before `before`, the oldest of them first.',
      query: z.strictObject({
        attempt: z
          .string()
          .regex(/^[1-9]\d{0,8}$/, 'a number from 1')
          .optional(),
        before: z
          .string()
          .optional()
          .meta({ description: 'An attempt and a line of it', examples: ['2.100'] }),
        limit,
      }),
      answers: { 200: z.object({ lines: z.array(tasks.logLine) }) },
      codes: [...codes, 'BAD_VALUE', 'BAD_SORT', 'UNKNOWN_FIELD'],
      handle: async ({ control, params, query }) => ({
        lines: await control.taskLog({
          id: params.id!,
          ...(query.attempt === undefined ? {} : { attempt: Number(query.attempt) }),
          ...(query.before === undefined ? {} : { before: place(query.before) }),
          ...most(query.limit),
        }),
      }),
    }),
    route({
      ...common,
      url: '/tasks/:id/explain',
      summary: 'Why it does not run',
      answers: { 200: tasks.explanation },
      codes,
      handle: async ({ control, params }) => control.explain(params.id!),
    }),
    route({
      ...common,
      url: '/tasks/:id/audit',
      summary: 'Who did what to it, the latest first',
      query: z.strictObject({ limit }),
      answers: { 200: z.object({ entries: z.array(tasks.auditEntry) }) },
      codes: [...codes, 'BAD_SORT', 'UNKNOWN_FIELD'],
      handle: async ({ control, params, query }) => ({
        entries: await control.audit({ id: params.id!, ...most(query.limit) }),
      }),
    }),
  ]
}

function place(text: string): { attempt: number; seq: number } {
  const [, attempt, seq] = /^([1-9]\d{0,8})\.([1-9]\d{0,8})$/.exec(text) ?? []
  if (seq === undefined)
    throw new FleetError('BAD_VALUE', "'before' is an attempt and a line of it, such as 2.100", { field: 'before' })
  return { attempt: Number(attempt), seq: Number(seq) }
}
