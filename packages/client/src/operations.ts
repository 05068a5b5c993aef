import type { FleetOperations } from '@taskfleet/protocol'
import { keepValue } from '@taskfleet/protocol/internal'

/** Sends one operation by its name and resolves with its answer. */
type Send = (name: string, request: unknown) => Promise<unknown>

/** Listed here, so that a page does not load the table of operations. */
const LISTED: Record<keyof FleetOperations, true> = {
  tasks: true,
  bulk: true,
  events: true,
  callbacks: true,
  schedules: true,
  queues: true,
  workers: true,
  errors: true,
  keys: true,
  retention: true,
  audit: true,
  handlers: true,
  attention: true,
  documents: true,
}
export const AGGREGATES = Object.keys(LISTED) as (keyof FleetOperations)[]

/** Every operation of an aggregate as a method. */
export function operationsOf<Aggregate extends keyof FleetOperations>(
  aggregate: Aggregate,
  send: Send,
): FleetOperations[Aggregate] {
  const methods = new Map<string, (request?: unknown) => Promise<unknown>>()
  return new Proxy({} as FleetOperations[Aggregate], {
    get(_, verb) {
      // `await` on the object itself reads `then`, which is not an operation.
      if (typeof verb !== 'string' || verb === 'then') return undefined
      const known = methods.get(verb)
      if (known !== undefined) return known
      const method = (request: unknown = {}): Promise<unknown> => send(`${aggregate}.${verb}`, request)
      methods.set(verb, method)
      return method
    },
  })
}

/** Operations that store something under the `_id` of the request. Sending one again stores nothing twice. */
export const STORES = new Set(['tasks.enqueue', 'tasks.enqueueMany', 'events.post', 'callbacks.create'])

/**
 * The request as it is sent: with an `_id` if it stores something.
 *
 * @throws {FleetError} `BAD_INPUT` for an input that JSON would change
 */
export function preparedRequest(name: string, request: unknown): unknown {
  if (typeof request !== 'object' || request === null) return request
  const { tasks, changes } = request as { tasks?: unknown; changes?: unknown }
  if (name === 'tasks.enqueueMany' && Array.isArray(tasks)) {
    return { ...request, tasks: tasks.map((task: unknown) => preparedRequest('tasks.enqueue', task)) }
  }
  if (name === 'tasks.edit') return { ...request, changes: withCheckedInput(changes as { input?: unknown }) }
  const checked = name.startsWith('tasks.') ? withCheckedInput(request) : request
  return STORES.has(name) ? { _id: newId(), ...checked } : checked
}

function withCheckedInput<Request extends { input?: unknown }>(request: Request): Request {
  return request?.input === undefined ? request : { ...request, input: keepValue(request.input, 'sentInput') }
}

/** 24 hexadecimal digits, like the ids of tasks: 4 bytes of time, then 8 random bytes. */
function newId(): string {
  const random = crypto.getRandomValues(new Uint8Array(8))
  const time = Math.floor(Date.now() / 1_000)
  const digits = [...random].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return time.toString(16).padStart(8, '0') + digits
}
