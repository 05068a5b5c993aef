import { FleetError, type NewSchedule, type TimingRequest } from '@taskfleet/protocol'
import { z } from 'zod'
import { given } from '../given.ts'
import { seenRev } from '../if-match.ts'
import { documented, type RestRoute, route } from '../route.ts'
import * as schemas from '../schemas/schedules.ts'
import { task } from '../schemas/tasks.ts'
import { date, reason } from '../schemas/values.ts'

const TIMING = ['BAD_CRON', 'BAD_EVERY', 'BAD_TIME_ZONE', 'BAD_DATE', 'BAD_VALUE']
const STORED = [
  ...TIMING,
  'UNKNOWN_FIELD',
  'BAD_NAME',
  'BAD_QUEUE',
  'BAD_INPUT',
  'INPUT_TOO_LARGE',
  'OUT_OF_RANGE',
  'BAD_JSON',
  'BAD_STRING',
]
const FOUND = ['BAD_NAME', 'NOT_FOUND', 'QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED']
const params = z.object({ name: schemas.scheduleName })
const why = z.strictObject({ reason: reason.optional() }).optional()

/** Schedules by name, and what is done with them. */
export function scheduleRoutes(): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/schedules',
      scope: 'read',
      tag: 'schedules',
      summary: 'Schedules by name, without their inputs',
      query: z.strictObject({ limit: z.coerce.number().int().min(1).max(1_000).optional() }),
      answers: { 200: z.object({ schedules: z.array(schemas.schedule) }) },
      handle: async ({ fleet, query: { limit } }) => ({
        schedules: await fleet.schedules.list(given({ limit })),
      }),
    }),
    route({
      method: 'POST',
      url: '/schedules',
      scope: 'control',
      tag: 'schedules',
      summary: 'Make a schedule',
      description: 'Repeating it with the same settings is harmless.',
      body: documented(schemas.newSchedule),
      answers: { 201: schemas.schedule },
      codes: [...STORED, 'QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED', 'SCHEDULE_EXISTS'],
      handle: async ({ fleet, body }) => fleet.schedules.create(body as NewSchedule),
    }),
    route({
      method: 'GET',
      url: '/schedules/preview',
      scope: 'read',
      tag: 'schedules',
      summary: 'The next slots of a timing, whether or not a schedule has it',
      query: z.strictObject({
        cron: schemas.cron.optional(),
        every: z
          .string()
          .optional()
          .meta({ examples: ['15m'] }),
        timeZone: schemas.timeZone.optional(),
        startsAt: date.optional(),
        endsAt: date.optional(),
        count: z.coerce.number().int().min(1).max(100).optional(),
      }),
      answers: { 200: z.object({ slots: z.array(date) }) },
      codes: TIMING,
      handle: async ({ fleet, query: { count, ...timing } }) => ({
        slots: await fleet.schedules.preview({ ...(timing as TimingRequest), ...given({ count }) }),
      }),
    }),
    route({
      method: 'GET',
      url: '/schedules/:name',
      scope: 'read',
      tag: 'schedules',
      summary: 'One schedule',
      description: 'Its `ETag` is its edition, for `If-Match`.',
      params,
      answers: { 200: schemas.schedule },
      codes: FOUND,
      handle: async ({ fleet, params, reply }) => {
        const found = await fleet.schedules.show(params.name!)
        void reply.header('etag', `"${found.edition}"`)
        return found
      },
    }),
    route({
      method: 'PATCH',
      url: '/schedules/:name',
      scope: 'control',
      tag: 'schedules',
      summary: 'Change a schedule; what is queued already stays as it is',
      description: 'Of `options` only what is named changes. The next slot moves only with the timing.',
      params,
      headers: z.object({
        'if-match': z
          .string()
          .optional()
          .meta({ description: 'The edition that was seen', examples: ['"3"'] }),
      }),
      body: documented(schemas.scheduleChanges),
      answers: { 200: schemas.schedule },
      codes: [...STORED, ...FOUND, 'REV_CONFLICT'],
      handle: async ({ fleet, params, body, request, reply }) => {
        const { edition, changes } = toChanges(body, request.headers['if-match'])
        const edited = await fleet.schedules.edit({ name: params.name!, changes, ...given({ edition }) })
        void reply.header('etag', `"${edited.edition}"`)
        return edited
      },
    }),
    route({
      method: 'DELETE',
      url: '/schedules/:name',
      scope: 'control',
      tag: 'schedules',
      summary: 'Remove a schedule; what is queued already stays as it is',
      params,
      answers: { 204: null },
      codes: FOUND,
      handle: async ({ fleet, params }) => fleet.schedules.remove(params.name!),
    }),
    route({
      method: 'POST',
      url: '/schedules/:name/pause',
      scope: 'control',
      tag: 'schedules',
      summary: 'Let its slots pass unused',
      params,
      body: why,
      answers: { 200: schemas.schedule },
      codes: [...FOUND, 'REV_CONFLICT'],
      handle: async ({ fleet, params, body }) =>
        fleet.schedules.pause({ name: params.name!, ...given({ reason: body?.reason }) }),
    }),
    route({
      method: 'POST',
      url: '/schedules/:name/resume',
      scope: 'control',
      tag: 'schedules',
      summary: 'Go on with the next slot from now on',
      params,
      body: why,
      answers: { 200: schemas.schedule },
      codes: [...FOUND, 'REV_CONFLICT'],
      handle: async ({ fleet, params, body }) =>
        fleet.schedules.resume({ name: params.name!, ...given({ reason: body?.reason }) }),
    }),
    route({
      method: 'POST',
      url: '/schedules/:name/run',
      scope: 'control',
      tag: 'schedules',
      summary: 'Make its task now, outside the slots',
      params,
      body: why,
      answers: { 201: task },
      codes: FOUND,
      handle: async ({ fleet, params, body }) =>
        fleet.schedules.run({ name: params.name!, ...given({ reason: body?.reason }) }),
    }),
  ]
}

/** @throws {FleetError} `BAD_REQUEST`, `BAD_VALUE` */
function toChanges(
  body: unknown,
  ifMatch: string | undefined,
): { changes: Record<string, unknown>; edition: number | undefined } {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new FleetError('BAD_REQUEST', 'Changes are an object with at least one field')
  }
  const { edition, ...changes } = body as { edition?: unknown }
  if (edition !== undefined && !Number.isInteger(edition)) {
    throw new FleetError('BAD_VALUE', "'edition' is the number that was seen", { field: 'edition' })
  }
  const seen = seenRev(ifMatch)
  if (seen !== undefined && edition !== undefined && seen !== edition) {
    throw new FleetError('BAD_VALUE', "'edition' and If-Match name two editions", { field: 'edition' })
  }
  return { changes, edition: seen ?? (edition as number | undefined) }
}
