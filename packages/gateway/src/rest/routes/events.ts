import type { CallbackRequest, EventChanges, EventRequest } from '@taskfleet/protocol'
import { z } from 'zod'
import { given } from '../given.ts'
import { documented, type RestRoute, route } from '../route.ts'
import { callback, callbackChanges, event, eventStatus, newCallback, newEvent } from '../schemas/events.ts'
import { commandAnswer } from '../schemas/tasks.ts'
import { hexId, idParams, name, reason } from '../schemas/values.ts'

const STORED = [
  'BAD_REQUEST',
  'UNKNOWN_FIELD',
  'BAD_ID',
  'BAD_NAME',
  'BAD_INPUT',
  'INPUT_TOO_LARGE',
  'OUT_OF_RANGE',
  'BAD_JSON',
  'BAD_STRING',
]
const REACH = ['QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED']
const limit = z.coerce.number().int().min(1).max(1_000).optional()

export function eventRoutes(): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/events',
      scope: 'read',
      tag: 'events',
      summary: 'Events, the newest first; those after one, the oldest first',
      query: z.strictObject({
        name: name.optional(),
        status: eventStatus.optional(),
        after: hexId.optional().describe('Only those behind this one: for following the log'),
        limit,
      }),
      answers: { 200: z.object({ events: z.array(event) }) },
      codes: ['BAD_ID'],
      handle: async ({ fleet, query }) => ({
        events: await fleet.events.list(given(query)),
      }),
    }),
    route({
      method: 'POST',
      url: '/events',
      scope: 'write',
      tag: 'events',
      summary: 'Post an event: one task for each callback of its name, all or none',
      body: documented(newEvent),
      answers: { 201: event },
      codes: [...STORED, ...REACH, 'BAD_DATE', 'EVENT_EXISTS', 'QUEUE_FULL'],
      handle: async ({ fleet, body }) => fleet.events.post(body as EventRequest),
    }),
    route({
      method: 'GET',
      url: '/events/:id',
      scope: 'read',
      tag: 'events',
      summary: 'One event with what came of it',
      params: idParams,
      answers: { 200: event },
      codes: ['BAD_ID', 'NOT_FOUND'],
      handle: async ({ fleet, params }) => fleet.events.show(params.id!),
    }),
    route({
      method: 'PATCH',
      url: '/events/:id',
      scope: 'control',
      tag: 'events',
      summary: 'Change the date or priority of an event whose tasks all wait',
      params: idParams,
      body: documented(newEvent.pick({ scheduledFor: true, priority: true }).partial()),
      answers: { 200: event },
      codes: [
        'BAD_ID',
        'NOT_FOUND',
        'NOT_WAITING',
        'BAD_DATE',
        'OUT_OF_RANGE',
        'UNKNOWN_FIELD',
        'BAD_REQUEST',
        ...REACH,
      ],
      handle: async ({ fleet, params, body }) => fleet.events.edit({ id: params.id!, changes: body as EventChanges }),
    }),
    route({
      method: 'POST',
      url: '/events/:id/cancel',
      scope: 'control',
      tag: 'events',
      summary: 'Cancel all tasks of an event that have not ended',
      params: idParams,
      body: z.strictObject({ reason: reason.optional() }).optional(),
      answers: { 200: commandAnswer },
      codes: ['BAD_ID', 'NOT_FOUND', ...REACH],
      handle: async ({ fleet, params, body }) =>
        fleet.events.cancel({ id: params.id!, ...given({ reason: body?.reason }) }),
    }),
    route({
      method: 'DELETE',
      url: '/events/:id',
      scope: 'control',
      tag: 'events',
      summary: 'Remove an event that has ended from the log',
      params: idParams,
      answers: { 204: null },
      codes: ['BAD_ID', 'NOT_FOUND', 'NOT_ENDED'],
      handle: async ({ fleet, params }) => fleet.events.remove(params.id!),
    }),
    ...callbackRoutes(),
  ]
}

function callbackRoutes(): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/callbacks',
      scope: 'read',
      tag: 'callbacks',
      summary: 'What runs when which event arrives',
      query: z.strictObject({ event: name.optional(), limit }),
      answers: { 200: z.object({ callbacks: z.array(callback) }) },
      handle: async ({ fleet, query }) => ({
        callbacks: await fleet.callbacks.list(given(query)),
      }),
    }),
    route({
      method: 'POST',
      url: '/callbacks',
      scope: 'control',
      tag: 'callbacks',
      summary: 'Register a callback',
      body: documented(newCallback),
      answers: { 201: callback },
      codes: [...STORED, ...REACH, 'BAD_QUEUE', 'BAD_VALUE', 'CALLBACK_EXISTS'],
      handle: async ({ fleet, body }) => fleet.callbacks.create(body as CallbackRequest),
    }),
    route({
      method: 'GET',
      url: '/callbacks/:id',
      scope: 'read',
      tag: 'callbacks',
      summary: 'One callback',
      params: idParams,
      answers: { 200: callback },
      codes: ['BAD_ID', 'NOT_FOUND', ...REACH],
      handle: async ({ fleet, params }) => fleet.callbacks.show(params.id!),
    }),
    route({
      method: 'PATCH',
      url: '/callbacks/:id',
      scope: 'control',
      tag: 'callbacks',
      summary: 'Change a callback; what is queued already stays as it is',
      params: idParams,
      body: documented(callbackChanges),
      answers: { 200: callback },
      codes: [...STORED, ...REACH, 'NOT_FOUND', 'REV_CONFLICT', 'BAD_QUEUE', 'BAD_VALUE'],
      handle: async ({ fleet, params, body }) => {
        const { rev, ...changes } = (body ?? {}) as { rev?: number }
        return fleet.callbacks.edit({ id: params.id!, changes, ...given({ rev }) })
      },
    }),
    route({
      method: 'DELETE',
      url: '/callbacks/:id',
      scope: 'control',
      tag: 'callbacks',
      summary: 'Remove a callback; what is queued already stays as it is',
      params: idParams,
      answers: { 204: null },
      codes: ['BAD_ID', 'NOT_FOUND', ...REACH],
      handle: async ({ fleet, params }) => fleet.callbacks.remove(params.id!),
    }),
  ]
}
