import { type Fleet, FleetError, type KeyStore, type Principal, parseDate, toWire, visibleTo } from '@taskfleet/core'
import { z } from 'zod'
import { type RestRoute, route } from '../route.ts'
import { key, madeKey, newKey } from '../schemas/fleet.ts'

export function keyRoutes({ fleet, keys }: { fleet: Fleet; keys: KeyStore }): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/keys',
      scope: 'admin',
      tag: 'keys',
      summary: 'Every key, without what would prove it',
      answers: { 200: z.object({ keys: z.array(key) }) },
      handle: async ({ principal }) => {
        requireUnlimited(principal)
        return { keys: (await keys.list()).map(({ _id, ...rest }) => ({ id: _id, ...(toWire(rest) as object) })) }
      },
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
      codes: ['BAD_DATE', 'BAD_VALUE', 'UNKNOWN_FIELD', 'BAD_JSON', 'BAD_STRING'],
      handle: async ({ principal, body: { name, scopes, queues, names, expiresAt } }) => {
        requireUnlimited(principal)
        const made = await keys.create({
          name,
          scopes,
          ...(queues === undefined ? {} : { queues }),
          ...(names === undefined ? {} : { names }),
          ...(expiresAt === undefined ? {} : { expiresAt: parseDate(expiresAt, 'expiresAt') }),
        })
        await fleet.audit.record({ by: principal.id, action: 'key create', target: made.id, changed: 1 })
        return made
      },
    }),
    route({
      method: 'DELETE',
      url: '/keys/:id',
      scope: 'admin',
      tag: 'keys',
      summary: 'Revoke a key; what it opened is closed within seconds',
      params: z.object({ id: z.string() }),
      answers: { 204: null },
      codes: ['NOT_FOUND'],
      handle: async ({ principal, params }) => {
        requireUnlimited(principal)
        if (!(await keys.revoke(params.id!))) throw new FleetError('NOT_FOUND', 'There is no such key', { field: 'id' })
        await fleet.audit.record({ by: principal.id, action: 'key revoke', target: params.id!, changed: 1 })
      },
    }),
  ]
}

/** Whoever is limited could else make a key that is not. @throws {FleetError} `FORBIDDEN` */
function requireUnlimited(principal: Principal): void {
  if (visibleTo(principal) === undefined) return
  throw new FleetError('FORBIDDEN', 'A key that is limited to queues or names may not touch keys')
}
