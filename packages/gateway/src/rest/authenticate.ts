import type { Fleet, Principal } from '@taskfleet/core'
import { requireScope } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Access } from '../access.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The principal of the request, set by the first hook. */
    principal: Principal
  }
}

/**
 * Refuses each request whose key lacks the route's scope.
 *
 * @throws {Error} for a route without one, when it is registered
 */
export function authenticate(app: FastifyInstance, access: Access): void {
  app.addHook('onRoute', ({ method, url, config }) => {
    if (config?.scope === undefined) throw new Error(`The route ${String(method)} ${url} has no scope in its config`)
  })
  app.addHook('onRequest', async (request) => {
    request.principal = await principalOf(request, access)
  })
}

/** After the rate limit, which refused requests count for too. */
export async function authorise({ principal, method, routeOptions }: FastifyRequest, fleet: Fleet): Promise<void> {
  try {
    requireScope(principal, routeOptions.config.scope!)
  } catch (error) {
    const action = `${method} ${routeOptions.url?.replace('/api/v1', '')}`
    await fleet.refusals.record({ by: principal.id, action, refused: 'FORBIDDEN' })
    throw error
  }
}

/** @throws {FleetError} `UNAUTHENTICATED`, the same for every problem; `RATE_LIMITED` after many wrong keys */
export async function principalOf(
  { headers: { authorization }, ip }: FastifyRequest,
  access: Access,
): Promise<Principal> {
  try {
    if (authorization === undefined) return await access.authenticate(undefined, ip)
    const [, token] = /^Bearer +(\S+) *$/i.exec(authorization) ?? []
    return await access.signIn(token ?? 'none', ip)
  } catch (error) {
    if (!(error instanceof FleetError) || error.code !== 'UNAUTHENTICATED') throw error
    throw new FleetError('UNAUTHENTICATED', 'A valid key is required: Authorization: Bearer tf_…', {
      cause: error,
    })
  }
}
