import type {
  AttentionRows,
  ChecksumAnswer,
  ClientToGateway,
  FleetOperations,
  HostTicketAnswer,
  RenewalAnswer,
  StatsAnswer,
  SubscribeAnswer,
  SubscribeQuery,
  TicketAnswer,
} from '@taskfleet/protocol'
import { FleetError, OPERATIONS, type Operation } from '@taskfleet/protocol'
import { controlOf, GATEWAY_TAKES, given, outerShape } from '@taskfleet/protocol/internal'
import type { Rule } from './guard.ts'
import type { Reads } from './read-turns.ts'

/** The parts that the handlers of a connection use. */
export interface RuleDeps {
  /** Every operation, as the key of the connection. */
  fleet: FleetOperations
  subscribe(request: SubscribeQuery): Promise<SubscribeAnswer>
  unsubscribe(subscription: string): void
  subscribeStats(filter: unknown): Promise<StatsAnswer>
  subscribeAttention(): Promise<AttentionRows>
  checksum(subscription: string): Promise<ChecksumAnswer>
  ticket(id: unknown): Promise<TicketAnswer>
  hostTicket(id: unknown): Promise<HostTicketAnswer>
  renew(token: string): Promise<RenewalAnswer>
}

/** Every message of the gateway with its rule. A message without a rule is refused. */
export function gatewayRules({
  fleet,
  subscribe,
  unsubscribe,
  subscribeStats,
  subscribeAttention,
  checksum,
  ticket,
  hostTicket,
  renew,
}: RuleDeps): Record<keyof ClientToGateway, Rule<unknown>> {
  const control = controlOf(fleet)
  const handle: Handlers = {
    subscribeQuery: (request) => subscribe(request),
    unsubscribeQuery: ({ subscription }) => {
      unsubscribe(subscription)
      return {}
    },
    subscribeStats: ({ filter }) => subscribeStats(filter),
    subscribeAttention: () => subscribeAttention(),
    checksumQuery: ({ subscription }) => checksum(subscription),
    enqueue: async (request) => ({ task: await control.enqueue(request) }),
    cancel: (request) => control.cancel(request),
    pause: (request) => control.pause(request),
    resume: (request) => control.resume(request),
    retry: (request) => control.retry(request),
    replay: (request) => control.replay(request),
    reprioritise: (request) => control.reprioritise(request),
    edit: async (request) => ({ task: await control.edit(request) }),
    explain: async ({ id }) => ({ explanation: await control.explain(id) }),
    coverage: async () => ({ coverage: await control.coverage() }),
    taskLog: async (request) => ({ lines: await control.taskLog(request) }),
    audit: async (request) => ({ entries: await control.audit(request) }),
    markError: async (request) => ({ error: await control.markError(request) }),
    controlWorker: async (request) => {
      await control.controlWorker(request)
      return {}
    },
    controlQueue: async (request) => ({ queue: await control.controlQueue(request) }),
    taskTicket: ({ id }) => ticket(id),
    hostTicket: ({ id }) => hostTicket(id),
    operation: async ({ name, request }) => {
      const answer = await operationOf(fleet, name)(request)
      return answer === undefined ? {} : { answer }
    },
    renewSession: ({ token }) => renew(token),
  }
  return Object.fromEntries(
    Object.entries(SCHEMAS).map(([event, { scope, schema }]) => [
      event,
      {
        ...given({ scope }),
        schema,
        reads: readsOf(event),
        handle: handle[event as keyof Handlers] as (request: unknown) => object,
      },
    ]),
  ) as Record<keyof ClientToGateway, Rule<unknown>>
}

type Handlers = {
  [Event in keyof ClientToGateway]: (request: Parameters<ClientToGateway[Event]>[0]) => Promise<object> | object
}

/** Messages besides the operations that read. */
const READS: Readonly<Record<string, Reads>> = { explain: 'small', coverage: 'large', taskLog: 'large', audit: 'large' }
/** Operations with other names have small answers, unless they are lists. */
const LARGE_VERBS = new Set(['list', 'show', 'log'])

const OPERATION_READS = new Map<string, Reads>(
  Object.entries(OPERATIONS).flatMap(([aggregate, verbs]) =>
    Object.entries(verbs as Record<string, Operation>)
      .filter(([, { scope }]) => scope === 'read')
      .map(([verb, { list }]) => [
        `${aggregate}.${verb}`,
        list !== undefined || LARGE_VERBS.has(verb) ? 'large' : 'small',
      ]),
  ),
)

const readsOf =
  (event: string) =>
  (request: unknown): Reads | undefined => {
    if (event !== 'operation') return READS[event]
    const { name } = (request ?? {}) as { name?: unknown }
    return typeof name === 'string' ? OPERATION_READS.get(name) : undefined
  }

/** Made once: a connection has rules of its own, and a schema takes several KiB. */
const SCHEMAS = Object.fromEntries(
  Object.entries(GATEWAY_TAKES).map(([event, { scope, payload }]) => [event, { scope, schema: outerShape(payload) }]),
)

/** @throws {FleetError} `UNKNOWN_OPERATION` */
function operationOf(fleet: FleetOperations, name: string): (request: unknown) => Promise<unknown> {
  const [aggregate = '', verb = '', ...more] = name.split('.')
  const verbs = Object.hasOwn(fleet, aggregate) ? (fleet as unknown as Record<string, object>)[aggregate]! : {}
  if (more.length === 0 && Object.hasOwn(verbs, verb)) {
    return (verbs as Record<string, (request: unknown) => Promise<unknown>>)[verb]!
  }
  throw new FleetError('UNKNOWN_OPERATION', `There is no operation '${name}'; docs/protocol.md lists them`, {
    field: 'name',
  })
}
