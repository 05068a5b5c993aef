import type {
  ChecksumAnswer,
  ClientToGateway,
  EnqueueRequest,
  FleetOperations,
  RenewalAnswer,
  StatsAnswer,
  SubscribeAnswer,
  TicketAnswer,
} from '@taskfleet/protocol'
import { FleetError } from '@taskfleet/protocol'
import { controlOf } from '@taskfleet/protocol/internal'
import { z } from 'zod'
import type { Rule } from './guard.ts'
import * as requests from './requests.ts'

/** What a connection can have done for it. */
export interface RuleDeps {
  /** Every operation, as the key of the connection. */
  fleet: FleetOperations
  subscribe(request: z.infer<typeof subscribeSchema>): Promise<SubscribeAnswer>
  unsubscribe(subscription: string): void
  subscribeStats(filter: unknown): Promise<StatsAnswer>
  checksum(subscription: string): Promise<ChecksumAnswer>
  ticket(id: unknown): Promise<TicketAnswer>
  renew(token: string): Promise<RenewalAnswer>
}

/** The content is for `compileQuery` to check; here only what isn't part of the query. */
const subscribeSchema = z
  .strictObject({
    collection: z.unknown(),
    filter: z.unknown(),
    sort: z.unknown(),
    limit: z.unknown(),
    fields: z.unknown(),
    resume: z.strictObject({ epoch: z.string().max(64), seq: z.int().min(0) }),
  })
  .partial()
// Made once: a connection has rules of its own, and a schema takes several KiB.
const subscriptionSchema = z.strictObject({ subscription: z.string().max(64) })
const renewalSchema = z.strictObject({ token: z.string().max(2_000) })
const operationSchema = z.strictObject({ name: z.string().max(64), request: z.unknown().optional() })
const statsSchema = z.strictObject({ filter: z.unknown().optional() })

/** Every message that the gateway takes, with what it needs: a message without a rule is refused. */
export function gatewayRules({
  fleet,
  subscribe,
  unsubscribe,
  subscribeStats,
  checksum,
  ticket,
  renew,
}: RuleDeps): Record<keyof ClientToGateway, Rule<unknown>> {
  const control = controlOf(fleet)
  const rule = <Request>(one: Rule<Request>): Rule<unknown> => one as Rule<unknown>
  return {
    subscribeQuery: rule({
      scope: 'read',
      schema: subscribeSchema,
      handle: (request) => subscribe(request),
    }),
    unsubscribeQuery: rule({
      scope: 'read',
      schema: subscriptionSchema,
      handle: ({ subscription }) => {
        unsubscribe(subscription)
        return {}
      },
    }),
    subscribeStats: rule({
      scope: 'read',
      schema: statsSchema,
      handle: ({ filter }) => subscribeStats(filter),
    }),
    checksumQuery: rule({
      scope: 'read',
      schema: subscriptionSchema,
      handle: ({ subscription }) => checksum(subscription),
    }),
    enqueue: rule({
      scope: 'write',
      schema: z.unknown(),
      handle: async (request) => ({ task: await control.enqueue(request as EnqueueRequest) }),
    }),
    cancel: rule({ scope: 'control', schema: requests.commandRequest, handle: (asked) => control.cancel(asked) }),
    pause: rule({ scope: 'control', schema: requests.commandRequest, handle: (asked) => control.pause(asked) }),
    resume: rule({ scope: 'control', schema: requests.commandRequest, handle: (asked) => control.resume(asked) }),
    retry: rule({ scope: 'control', schema: requests.commandRequest, handle: (asked) => control.retry(asked) }),
    replay: rule({ scope: 'control', schema: requests.replayRequest, handle: (asked) => control.replay(asked) }),
    reprioritise: rule({
      scope: 'control',
      schema: requests.reprioritiseRequest,
      handle: (asked) => control.reprioritise(asked),
    }),
    edit: rule({
      scope: 'control',
      schema: requests.editRequest,
      handle: async (asked) => ({ task: await control.edit(asked) }),
    }),
    explain: rule({
      scope: 'read',
      schema: requests.taskRequest,
      handle: async ({ id }) => ({ explanation: await control.explain(id) }),
    }),
    coverage: rule({
      scope: 'read',
      schema: requests.emptyRequest,
      handle: async () => ({ coverage: await control.coverage() }),
    }),
    taskLog: rule({
      scope: 'read',
      schema: requests.taskLogRequest,
      handle: async (asked) => ({ lines: await control.taskLog(asked) }),
    }),
    audit: rule({
      scope: 'read',
      schema: requests.auditRequest,
      handle: async (asked) => ({ entries: await control.audit(asked) }),
    }),
    markError: rule({
      scope: 'control',
      schema: requests.markErrorRequest,
      handle: async (asked) => ({ error: await control.markError(asked) }),
    }),
    controlWorker: rule({
      scope: 'control',
      schema: requests.controlWorkerRequest,
      handle: async (asked) => {
        await control.controlWorker(asked)
        return {}
      },
    }),
    controlQueue: rule({
      scope: 'control',
      schema: requests.controlQueueRequest,
      handle: async (asked) => ({ queue: await control.controlQueue(asked) }),
    }),
    taskTicket: rule({
      scope: 'read',
      schema: requests.taskRequest,
      handle: ({ id }) => ticket(id),
    }),
    operation: rule({
      schema: operationSchema,
      handle: async ({ name, request }) => {
        const answer = await operationOf(fleet, name)(request)
        return answer === undefined ? {} : { answer }
      },
    }),
    renewSession: rule({
      scope: 'read',
      schema: renewalSchema,
      handle: ({ token }) => renew(token),
    }),
  }
}

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
