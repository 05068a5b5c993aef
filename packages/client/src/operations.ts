import type { FleetOperations } from '@taskfleet/protocol'

/** Sends one operation by its name and resolves with its answer. */
type Send = (name: string, request: unknown) => Promise<unknown>

/**
 * Every operation of an aggregate as a method. Which there are the gateway knows, and the compiler: nothing of the table is loaded
 * here, so that a page stays small.
 */
export function operationsOf<Aggregate extends keyof FleetOperations>(
  aggregate: Aggregate,
  send: Send,
): FleetOperations[Aggregate] {
  const methods = new Map<string, (request?: unknown) => Promise<unknown>>()
  return new Proxy({} as FleetOperations[Aggregate], {
    get(_, verb) {
      // Whoever awaits the object itself asks for a method that no operation has.
      if (typeof verb !== 'string' || verb === 'then') return undefined
      const known = methods.get(verb)
      if (known !== undefined) return known
      const method = (request: unknown = {}): Promise<unknown> => send(`${aggregate}.${verb}`, request)
      methods.set(verb, method)
      return method
    },
  })
}
