import { z } from 'zod'
import { type RestRoute, route } from '../route.ts'
import { key, keyChanges, madeKey, newKey } from '../schemas/fleet.ts'

const params = z.object({ id: z.string() })
const CHECKED = ['BAD_DATE', 'BAD_VALUE', 'UNKNOWN_FIELD', 'BAD_JSON', 'BAD_STRING']

export function keyRoutes(): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/keys',
      scope: 'admin',
      tag: 'keys',
      summary: 'Every key, without what would prove it',
      answers: { 200: z.object({ keys: z.array(key) }) },
      handle: async ({ fleet }) => ({ keys: await fleet.keys.list() }),
    }),
    route({
      method: 'POST',
      url: '/keys',
      scope: 'admin',
      tag: 'keys',
      summary: 'Make a key; its token is shown this once',
      description: 'With the first one the fleet is locked.',
      body: newKey,
      answers: { 201: madeKey },
      codes: CHECKED,
      handle: async ({ fleet, body }) => fleet.keys.create(body),
    }),
    route({
      method: 'GET',
      url: '/keys/:id',
      scope: 'admin',
      tag: 'keys',
      summary: 'One key',
      params,
      answers: { 200: key },
      codes: ['NOT_FOUND'],
      handle: async ({ fleet, params }) => fleet.keys.show(params.id!),
    }),
    route({
      method: 'PATCH',
      url: '/keys/:id',
      scope: 'admin',
      tag: 'keys',
      summary: 'Change what a key may; what it opened under other rights is closed within a second, and may come back',
      params,
      body: keyChanges,
      answers: { 200: key },
      codes: [...CHECKED, 'NOT_FOUND', 'ALREADY_REVOKED'],
      handle: async ({ fleet, params, body }) => fleet.keys.edit({ id: params.id!, changes: body }),
    }),
    route({
      method: 'DELETE',
      url: '/keys/:id',
      scope: 'admin',
      tag: 'keys',
      summary: 'Revoke a key; what it opened is closed within a second',
      params,
      answers: { 204: null },
      codes: ['NOT_FOUND'],
      handle: async ({ fleet, params }) => fleet.keys.revoke(params.id!),
    }),
  ]
}
