import {
  GATEWAY_SENDS,
  GATEWAY_TAKES,
  HOST_SENDS,
  HOST_TAKES,
  refusal,
  type SocketMessage,
  shapes,
  TASK_SENDS,
  TASK_TAKES,
} from '@taskfleet/protocol/internal'
import { z } from 'zod'
import type { Schema } from './wire-types.ts'

type Messages = Readonly<Record<string, SocketMessage>>

/** What zod adds to a schema, besides its own. */
type Generated = Schema & {
  $defs?: Record<string, Schema>
  $schema?: string
  format?: string
  examples?: unknown
  id?: string
}

/** Types of the protocol under whose name a shape is documented here. */
const TYPES: Readonly<Record<string, string>> = {
  Task: 'TaskRow',
  Worker: 'WorkerRow',
  QueueSettings: 'QueueRow',
  Queue: 'QueueListRow',
  Schedule: 'ScheduleRow',
  ErrorGroup: 'ErrorRow',
  Event: 'EventRow',
  Coverage: 'CoverageRow',
  Attempt: 'AttemptView',
  TaskError: 'TaskErrorView',
  NewTask: 'EnqueueRequest',
  Stats: 'FleetStats',
}

/** Rows of live queries, and what a refused connection carries: no message names them. */
const FURTHER = [shapes.worker, shapes.schedule, shapes.event, shapes.errorGroup, shapes.taskConnectError]

/** The sockets as AsyncAPI 3, made from the messages of the protocol. */
export function asyncapi(version: string): object {
  const gateway = channel('gateway', '', GATEWAY_TAKES, GATEWAY_SENDS)
  const task = channel('task', 'task-', TASK_TAKES, TASK_SENDS)
  const relay = channel('relay', 'relay-', TASK_TAKES, TASK_SENDS)
  const host = channel('host', 'host-', HOST_TAKES, HOST_SENDS)
  const hostRelay = channel('hostRelay', 'host-relay-', HOST_TAKES, HOST_SENDS)
  const components = componentsOf([gateway, task, host])
  const parameters = { task: { description: 'The id of the task.' } }
  const ofHost = { worker: { description: "The id of the worker: the task's `worker`." } }
  const servers = (name: string) => [{ $ref: `#/servers/${name}` }]
  return {
    asyncapi: '3.0.0',
    info: { title: "Taskfleet's sockets", version, license: { name: 'MIT' }, description: ABOUT },
    defaultContentType: 'application/json',
    servers: {
      gateway: {
        host: '{host}',
        protocol: 'ws',
        description: 'Any gateway of the fleet; all answer alike. A worker with `--listen` is one too.',
        variables: { host: { default: '127.0.0.1:4100' } },
        security: [{ $ref: '#/components/securitySchemes/token' }],
      },
      worker: {
        host: '{host}',
        protocol: 'ws',
        description: "The worker that runs a task; its address is in the task's `publicUrl`.",
        variables: { host: { default: '127.0.0.1:4101' } },
        security: [{ $ref: '#/components/securitySchemes/ticket' }],
      },
    },
    channels: {
      gateway: {
        address: '/',
        description: 'The namespace of a gateway. A refused connection gets `connect_error` with `data.code`.',
        servers: servers('gateway'),
        messages: gateway.messages,
      },
      task: {
        address: '/tasks/{task}',
        description:
          "The socket of a running task: the task's `publicUrl`. A refused connection gets `connect_error` with a TaskConnectError as `data`.",
        servers: servers('worker'),
        parameters,
        messages: task.messages,
      },
      relay: {
        address: '/relay/{task}',
        description: "The same through a gateway, for those who can't reach the worker: a ticket's `relayUrl`.",
        servers: servers('gateway'),
        parameters,
        messages: relay.messages,
      },
      host: {
        address: '/hosts/{worker}',
        description:
          "The socket of a host, for many of its running tasks at once: the `url` of `hostTicket`. Each message names its task. A host of an earlier version refuses the connection with the message 'Invalid namespace'.",
        servers: servers('worker'),
        parameters: ofHost,
        messages: host.messages,
      },
      hostRelay: {
        address: '/relay/hosts/{worker}',
        description:
          "The same through a gateway, for those who can't reach the worker: the `relayUrl` of `hostTicket`. It may be a namespace of the connection to the gateway.",
        servers: servers('gateway'),
        parameters: ofHost,
        messages: hostRelay.messages,
      },
    },
    operations: {
      ...gateway.operations,
      ...task.operations,
      ...relay.operations,
      ...host.operations,
      ...hostRelay.operations,
    },
    components: {
      securitySchemes: {
        token: {
          type: 'userPassword',
          description:
            'A key in the handshake: `auth: { token }`, with `parts: true` for large snapshots in parts. A fleet without keys takes connections from its own computer without it.',
        },
        ticket: {
          type: 'userPassword',
          description: 'The `token` of `taskTicket` or `hostTicket` in the handshake: `auth: { token }`.',
        },
      },
      ...components,
    },
  }
}

const ABOUT =
  'What travels between a gateway, the socket of a running task, and their clients. Everything is socket.io 4 over websockets (`transports: ["websocket"]`); a channel is a namespace, a message\'s name is the event, its payload the one argument. A request carries an acknowledgement, whose one argument is the reply that is given here. How live queries are to be applied, the limits and all codes are in docs/protocol.md. Written from the gateway\'s side: it receives what clients send.'

interface Channel {
  name: string
  takes: Messages
  sends: Messages
  messages: Record<string, object>
  operations: Record<string, object>
}

function channel(name: string, before: string, takes: Messages, sends: Messages): Channel {
  const at = (message: string) => ({ $ref: `#/channels/${name}/messages/${message}` })
  const here = { $ref: `#/channels/${name}` }
  const asked = Object.keys(takes).flatMap((event) => [event, `${event}Answer`])
  const operation = (event: string, action: string, { summary, scope }: SocketMessage) => [
    `${before}${event}`,
    {
      action,
      channel: here,
      summary,
      messages: [at(event)],
      ...(action === 'receive' ? { reply: { channel: here, messages: [at(`${event}Answer`)] } } : {}),
      ...(scope === undefined ? {} : { 'x-scope': scope }),
    },
  ]
  return {
    name,
    takes,
    sends,
    messages: Object.fromEntries([
      ...asked.map((event) => [event, messageRef(componentName(name, event))]),
      ...Object.keys(sends).map((event) => [event, messageRef(event)]),
    ]) as Record<string, object>,
    operations: Object.fromEntries([
      ...Object.entries(takes).map(([event, message]) => operation(event, 'receive', message)),
      ...Object.entries(sends).map(([event, message]) => operation(event, 'send', message)),
    ]) as Record<string, object>,
  }
}

const messageRef = (name: string): object => ({ $ref: `#/components/messages/${name}` })
/** Both kinds of sockets take a `cancel`. */
const componentName = (channel: string, event: string): string =>
  channel !== 'task' && channel !== 'relay' ? event : `task${event.charAt(0).toUpperCase()}${event.slice(1)}`

function componentsOf(channels: readonly Channel[]): { messages: object; schemas: Record<string, Schema> } {
  const schemas: Record<string, Schema> = {
    Filter: FILTER,
    Filters: { type: 'array', minItems: 1, items: ref('Filter') },
  }
  const take = (schema: z.ZodType, io: 'input' | 'output'): Schema => {
    const { $defs = {}, $schema: _, ...whole } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Generated
    for (const [id, definition] of Object.entries($defs)) schemas[nameOf(id)] ??= tidied(definition, io)
    const id = z.globalRegistry.get(schema)?.id
    if (id === undefined) return tidied(whole, io)
    schemas[nameOf(id)] ??= tidied(whole, io)
    return ref(nameOf(id))
  }
  const refused = take(refusal, 'output')
  const messages = channels.flatMap(({ name, takes, sends }) => {
    const requests = Object.entries(takes).flatMap(([event, { payload, answer }]) => {
      const done = take(answer!, 'output')
      const ok: Schema = { type: 'object', required: ['ok'], properties: { ok: { const: true } } }
      const accepted = done.$ref === undefined ? merged(ok, done) : { allOf: [ok, done] }
      const acknowledged = { summary: 'How the request is acknowledged.', payload: { oneOf: [accepted, refused] } }
      return [
        [componentName(name, event), { name: event, payload: take(payload, 'input') }],
        [componentName(name, `${event}Answer`), { name: `${event}Answer`, ...acknowledged }],
      ] as const
    })
    const sent = Object.entries(sends).map(
      ([event, { payload }]) => [event, { name: event, payload: take(payload, 'output') }] as const,
    )
    return [...requests, ...sent]
  })
  for (const schema of FURTHER) take(schema, 'output')
  return { messages: Object.fromEntries(messages), schemas }
}

const nameOf = (id: string): string => TYPES[id] ?? id
const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })

const merged = (one: Schema, other: Schema): Schema => ({
  ...other,
  required: [...(one.required ?? []), ...(other.required ?? [])],
  properties: { ...one.properties, ...other.properties },
})

const PATTERNS: Readonly<Record<string, string>> = { 'date-time': '^\\d{4}-\\d{2}-\\d{2}(T.+)?$' }

/** A schema for the document: references to its own schemas, patterns for dates, and no limit on further fields of rows. */
function tidied(schema: Schema, io: 'input' | 'output'): Schema {
  const each = (fields: object): object =>
    Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, visit(field)]))
  const visit = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(visit)
    if (typeof part !== 'object' || part === null) return part
    const { $ref, format, examples: _, id: __, ...rest } = part as Generated
    const own = Object.fromEntries(
      Object.entries(rest).map(([key, value]) => [key, key === 'properties' ? each(value as Schema) : visit(value)]),
    ) as Schema
    const pattern = format === undefined ? undefined : PATTERNS[format]
    return {
      ...($ref === undefined ? {} : ref(nameOf($ref.split('/').at(-1)!))),
      ...own,
      // Answers may have more fields in later versions.
      ...(io === 'output' && own.additionalProperties === false ? { additionalProperties: undefined } : {}),
      ...(pattern === undefined ? {} : { pattern }),
    }
  }
  return visit(schema) as Schema
}

/** It refers to itself. */
const FILTER: Schema & Record<string, unknown> = {
  description: 'Conditions by field, joined by `and`. The operators and limits are in docs/protocol.md.',
  type: 'object',
  propertyNames: { anyOf: [{ enum: ['$and', '$or', '$nor'] }, { pattern: '^[A-Za-z_]' }] },
  properties: { $and: ref('Filters'), $or: ref('Filters'), $nor: ref('Filters') },
}
