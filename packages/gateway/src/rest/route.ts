import type { Principal } from '@taskfleet/core'
import type { FleetOperations, Scope } from '@taskfleet/protocol'
import { given, meaningOf } from '@taskfleet/protocol/internal'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { problem } from './schemas/problem.ts'

/** A route's request, authorised and checked. */
export interface RestCall<Query = unknown, Body = unknown> {
  principal: Principal
  /** Every operation, as the key of the request. */
  fleet: FleetOperations
  /** The same for reading an operation's answer: a key that may change a document sees the changed document. */
  shown: FleetOperations
  params: Readonly<Record<string, string>>
  query: Query
  body: Body
  request: FastifyRequest
  reply: FastifyReply
}

/** One route: its scope, its schemas, its handler. The OpenAPI document is made from these. */
export interface RestRoute<Query = unknown, Body = unknown> {
  method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  /** Below `/api/v1`. */
  url: string
  scope: Scope
  /** Its part of the document. */
  tag: string
  summary: string
  description?: string
  params?: z.ZodType
  query?: z.ZodType<Query>
  body?: z.ZodType<Body>
  headers?: z.ZodType
  /** Media types of bodies that it takes as text, besides JSON. */
  text?: readonly string[]
  /** In bytes; by default the limit of one document. */
  bodyLimit?: number
  /** Its schemas only document: an operation checks its request itself. */
  checkedByCore?: true
  /** What its answers are, if not JSON. */
  media?: string
  /** Its answers by status, the usual one first; null for no body. */
  answers: Readonly<Record<number, z.ZodType | null>>
  /** Its own error codes. */
  codes?: readonly string[]
  handle(call: RestCall<Query, Body>): Promise<unknown>
}

/** Routes of another package, which are loaded when the gateway starts. */
export type ExtraRoutes = () => Promise<readonly RestRoute[]>

/** A route whose handler is typed by its schemas. */
export const route = <Query, Body>(one: RestRoute<Query, Body>): RestRoute => one as unknown as RestRoute

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The scope that a key needs for this route. */
    scope?: Scope
  }
}

/** Marks an operation without a body for the generator of the document. The mark is removed again. */
export const OPTIONAL_BODY = 'x-optional-body'

const COMMON = ['BAD_REQUEST', 'UNAUTHENTICATED', 'FORBIDDEN', 'RATE_LIMITED', 'INTERNAL', 'NO_DATABASE']

const passing = () => (value: unknown) => ({ value })

/** Registers routes on an instance that authorises by `config.scope`. */
export function mount(
  app: FastifyInstance,
  routes: readonly RestRoute[],
  operationsFor: (principal: Principal) => FleetOperations,
): void {
  for (const one of routes) {
    const { method, url, scope, params, query, body, headers, bodyLimit } = one
    const [usual] = Object.keys(one.answers)
    app.route({
      method,
      url,
      config: { scope },
      ...given({ bodyLimit }),
      ...(one.checkedByCore === true ? { validatorCompiler: passing } : {}),
      schema: {
        tags: [one.tag],
        summary: one.summary,
        operationId: operationId(method, url),
        description: `${one.description === undefined ? '' : `${one.description}\n\n`}Needs the scope \`${scope}\`.`,
        security: [{ key: [scope] }],
        ...({ 'x-scope': scope, ...(body?.isOptional() ? { [OPTIONAL_BODY]: true } : {}) } as object),
        ...given({ params, querystring: query, headers, body }),
        response: { ...successes(one), ...failures(one) },
      },
      handler: async (request, reply) => {
        const { principal } = request
        const fleet = operationsFor(principal)
        const call = {
          principal,
          fleet,
          get shown() {
            return operationsFor({ ...principal, scopes: [...principal.scopes, 'read'] })
          },
          params: request.params as Record<string, string>,
          query: request.query,
          body: request.body,
          request,
          reply,
        }
        void reply.code(Number(usual))
        const answer = await one.handle(call)
        // The handler has already sent the answer.
        if (reply.sent || reply.raw.headersSent || reply.raw.destroyed) return reply
        return answer === undefined ? reply.send() : answer
      },
    })
  }
}

/** `GET /tasks/:id/log` is `getTasksByIdLog`. */
function operationId(method: string, url: string): string {
  const words = url
    .split('/')
    .filter((part) => part !== '')
    .map((part) => (part.startsWith(':') ? `By${upper(part.slice(1))}` : upper(part)))
  return method.toLowerCase() + words.join('')
}

const upper = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)

const DESCRIPTIONS: Readonly<Record<number, string>> = { 200: 'Done', 201: 'Made', 204: 'Gone' }

function successes({ answers, media = 'application/json' }: RestRoute): Record<number, object> {
  return Object.fromEntries(
    Object.entries(answers).map(([status, schema]) => {
      const description = DESCRIPTIONS[Number(status)] ?? 'Done'
      if (schema === null) return [status, z.null().describe(description)]
      return [status, { description, content: { [media]: { schema } } }]
    }),
  )
}

function failures(one: RestRoute): Record<number, object> {
  const { codes = [] } = one
  const byStatus = new Map<number, string[]>()
  const unknown = one.method === 'GET' ? [] : ['UNKNOWN_OUTCOME']
  for (const code of new Set([...COMMON, ...unknown, ...codes])) {
    const { status } = meaningOf(code)
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus].map(([status, named]) => [
      status,
      {
        description: named.map((code) => `\`${code}\``).join(', '),
        content: { 'application/problem+json': { schema: problem } },
      },
    ]),
  )
}
