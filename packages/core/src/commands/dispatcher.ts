import { FleetError, type FleetOperations, OPERATIONS, type Operation } from '@taskfleet/protocol'
import { outerShape, requestError } from '@taskfleet/protocol/internal'
import { type Principal, requireScope } from '../auth/key-store.ts'
import { databaseError } from '../database/unknown-outcome.ts'
import type { Fleet } from '../fleet.ts'
import { handlersFor } from './handlers.ts'

/** Error codes of missing permissions. */
const REFUSED = new Set(['FORBIDDEN', 'QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED'])

type Handler = (request: unknown) => Promise<unknown>

/**
 * The only entry to a fleet's operations, for one principal. It checks scope and shape before anything is read or written. Each
 * command checks the key's reach before its first write. Commands write their changes to the audit log; refusals are written
 * here.
 */
export function operationsFor(fleet: Fleet, principal: Principal): FleetOperations {
  const handlers = handlersFor(fleet, principal) as unknown as Record<string, Record<string, Handler>>
  const methods = Object.entries(OPERATIONS).map(([aggregate, verbs]) => [
    aggregate,
    Object.fromEntries(
      Object.entries(verbs as Record<string, Operation>).map(([verb, operation]) => [
        verb,
        (request: unknown) =>
          dispatch(`${aggregate}.${verb}`, operation, (checked) => handlers[aggregate]![verb]!(checked), request),
      ]),
    ),
  ])
  return Object.fromEntries(methods) as FleetOperations

  async function dispatch(name: string, operation: Operation, handle: Handler, given: unknown): Promise<unknown> {
    try {
      requireScope(principal, operation.scope)
      return await handle(parsed(operation, given))
    } catch (thrown) {
      const error = databaseError(thrown, { asked: operation.writes ? 'write' : 'read' }) ?? thrown
      if (error instanceof FleetError && REFUSED.has(error.code)) {
        await fleet.refusals.record({ by: principal.id, action: name, refused: error.code })
      }
      throw error
    }
  }
}

/** @throws {FleetError} as `requestError` */
function parsed({ request, by }: Operation, given: unknown = {}): unknown {
  const asked = by !== undefined && typeof given === 'string' ? { [by]: given } : given
  const checked = outerOf(request).safeParse(asked)
  if (checked.success) return checked.data
  throw requestError(checked.error)
}

const OUTER = new Map<Operation['request'], ReturnType<typeof outerShape>>()

function outerOf(request: Operation['request']): ReturnType<typeof outerShape> {
  const known = OUTER.get(request)
  if (known !== undefined) return known
  const outer = outerShape(request)
  OUTER.set(request, outer)
  return outer
}
