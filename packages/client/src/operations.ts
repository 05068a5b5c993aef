import type { FleetOperations } from '@taskfleet/protocol'

/** Sends one operation by its name and resolves with its answer. */
type Send = (name: string, request: unknown) => Promise<unknown>

/**
 * Every operation of an aggregate as a method. Only the types of the table are used here, so a page doesn't load it.
 */
export function operationsOf<Aggregate extends keyof FleetOperations>(
  aggregate: Aggregate,
  send: Send,
): FleetOperations[Aggregate] {
  const methods = new Map<string, (request?: unknown) => Promise<unknown>>()
  return new Proxy({} as FleetOperations[Aggregate], {
    get(_, verb) {
      // `await` on the object itself looks for `then`, which is no operation.
      if (typeof verb !== 'string' || verb === 'then') return undefined
      const known = methods.get(verb)
      if (known !== undefined) return known
      const method = (request: unknown = {}): Promise<unknown> => send(`${aggregate}.${verb}`, request)
      methods.set(verb, method)
      return method
    },
  })
}
