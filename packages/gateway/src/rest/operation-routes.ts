import { FleetError, OPERATIONS, type Operation } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { z } from 'zod'
import { BODY_LIMITS } from './body.ts'
import { seenRev } from './if-match.ts'
import { RevConflict } from './problem.ts'
import { type RestCall, type RestRoute, route } from './route.ts'

type Fields = Record<string, z.ZodType>
type Values = Record<string, unknown>
type Method = (request: Values) => Promise<unknown>

/** Operations whose routes are written by hand in `routes/`, because REST has more variants of them. */
const BY_HAND = new Set([
  'tasks.enqueue',
  'tasks.enqueueMany',
  'tasks.list',
  'queues.pause',
  'queues.resume',
  'queues.limit',
  'audit.list',
])

/** A REST route for every operation of the table. */
export const operationRoutes = (): RestRoute[] =>
  Object.entries(OPERATIONS).flatMap(([aggregate, verbs]) =>
    Object.entries(verbs as Record<string, Operation>)
      .filter(([verb, { rest }]) => rest !== null && !BY_HAND.has(`${aggregate}.${verb}`))
      .flatMap(([verb, operation]) =>
        operation.selects === true
          ? [onOne(aggregate, verb, operation), onMany(aggregate, verb, operation)]
          : [operationRoute(aggregate, verb, operation)],
      ),
  )

/**
 * Fields of the request come from the path, then from the query for GET and from the body for all others. The field named by
 * `body` is the body itself; the other fields are beside its fields.
 */
function operationRoute(aggregate: string, verb: string, operation: Operation): RestRoute {
  const { answer, list, makes, etag } = operation
  const parts = partsOf(operation)
  const status = answer === null ? 204 : makes === true ? 201 : 200
  return route<Values, Values | undefined>({
    ...common(aggregate, operation),
    ...parts.schemas,
    answers: { [status]: answer === null || list === undefined ? answer : z.object({ [list]: answer }) },
    handle: async (call) => {
      const answered = await run(call, aggregate, verb, parts.request(call)).catch(async (error: unknown) => {
        throw await withRev(error, call, aggregate, etag)
      })
      if (etag !== undefined) void call.reply.header('etag', `"${(answered as Values)[etag]}"`)
      return list === undefined ? answered : { [list]: answered }
    },
  })
}

interface Parts {
  schemas: Pick<RestRoute<Values, Values | undefined>, 'params' | 'query' | 'body' | 'headers'>
  request(call: RestCall<Values, Values | undefined>): Values
}

function partsOf(operation: Operation): Parts {
  const { request, rest, body: inside, etag } = operation
  const [method, path] = rest!.split(' ') as [string, string]
  const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name!)
  const whole = (request as z.ZodObject).shape as Fields
  const named = Object.fromEntries(Object.entries(whole).filter(([name]) => names.includes(name)))
  const own = Object.fromEntries(Object.entries(whole).filter(([name]) => !names.includes(name)))
  const params = names.length === 0 ? {} : { params: z.object(named) }
  if (method === 'GET') {
    const query = Object.keys(own).length === 0 ? {} : { query: z.strictObject(own) as z.ZodType<Values> }
    return {
      schemas: { ...params, ...query },
      request: ({ query, params }) => ({ ...fromQuery(query, own), ...params }),
    }
  }
  const headers =
    etag === undefined
      ? {}
      : {
          headers: z.object({
            'if-match': z
              .string()
              .optional()
              .meta({ description: `The ${etag} from an earlier answer`, examples: ['"3"'] }),
          }),
        }
  const { body: schema } = bodyOf(operation, own)
  const mayBeMissing = schema === undefined || schema.isOptional()
  return {
    schemas: { ...params, ...headers, ...given({ body: schema }) },
    request: ({ params, body: sent, request: { headers } }) => {
      // Without a body it is null.
      const body = sent ?? (mayBeMissing ? {} : undefined)
      requireObject(body)
      const asked = inside === undefined ? body : nested(body, inside, own)
      return { ...(etag === undefined ? asked : seen(asked, etag, headers['if-match'])), ...params }
    },
  }
}

/** @throws {FleetError} `BAD_REQUEST` */
function requireObject(body: unknown): asserts body is Values {
  if (typeof body === 'object' && !Array.isArray(body)) return
  throw new FleetError('BAD_REQUEST', 'The body must be an object')
}

function nested(body: Values, inside: string, own: Fields): Values {
  const beside = Object.entries(body).filter(([name]) => Object.hasOwn(own, name) && name !== inside)
  const rest = Object.entries(body).filter(([name]) => !Object.hasOwn(own, name) || name === inside)
  return { ...Object.fromEntries(beside), [inside]: Object.fromEntries(rest) }
}

/** With the revision that `If-Match` names. @throws {FleetError} `BAD_VALUE` */
function seen(asked: Values, etag: string, ifMatch: string | undefined): Values {
  const named = seenRev(ifMatch)
  if (named === undefined) return asked
  if (asked[etag] !== undefined && asked[etag] !== named) {
    throw new FleetError('BAD_VALUE', `'${etag}' and If-Match name two revisions`, { field: etag })
  }
  return { ...asked, [etag]: named }
}

/** Adds the current revision to a conflict. */
async function withRev(error: unknown, call: RestCall, aggregate: string, etag: string | undefined): Promise<unknown> {
  if (etag === undefined || !(error instanceof FleetError)) return error
  if (error.code !== 'REV_CONFLICT') return error
  const now = (await run({ ...call, fleet: call.shown }, aggregate, 'show', call.params)) as Values
  return new RevConflict(error.message, Number(now[etag]), etag)
}

function bodyOf({ request, body: inside }: Operation, own: Fields): { body?: z.ZodType<Values | undefined> } {
  if (!(request instanceof z.ZodObject)) return { body: request as z.ZodType<Values> }
  if (Object.keys(own).length === 0) return {}
  if (inside === undefined && Object.keys(own).length === Object.keys(request.shape as Fields).length) {
    return { body: request as z.ZodType<Values> }
  }
  const changes = inside === undefined ? {} : ((own[inside] as z.ZodObject).shape as Fields)
  const beside = Object.fromEntries(Object.entries(own).filter(([name]) => name !== inside))
  const meta = inside === undefined ? undefined : z.globalRegistry.get(own[inside]!)
  const whole = z.strictObject({ ...beside, ...changes })
  const named = meta === undefined ? whole : whole.meta(meta)
  return { body: (allOptional(beside) && inside === undefined ? named.optional() : named) as z.ZodType<Values> }
}

const allOptional = (fields: Fields): boolean =>
  Object.values(fields).every((schema) => schema.isOptional() || schema instanceof z.ZodExactOptional)

/** In an address every value is a text. */
function fromQuery(query: Values, own: Fields): Values {
  return Object.fromEntries(
    Object.entries(query).map(([name, text]) => [
      name,
      typeof text === 'string' && own[name] ? fromText(own[name], text) : text,
    ]),
  )
}

/** Converts texts to numbers, and `2.100` to `{ attempt, seq }`. Other texts stay as they are, and are rejected later. */
function fromText(schema: z.ZodType, text: string): unknown {
  const inner = schema instanceof z.core.$ZodOptional ? (schema._zod.def.innerType as z.ZodType) : schema
  if (inner instanceof z.ZodNumber) return /^\d{1,9}$/.test(text) ? Number(text) : text
  if (!(inner instanceof z.ZodObject)) return text
  const names = Object.keys(inner.shape as Fields)
  const values = text.split('.')
  if (values.length !== names.length || !values.every((value) => /^[1-9]\d{0,8}$/.test(value))) return text
  return Object.fromEntries(names.map((name, index) => [name, Number(values[index])]))
}

/** A command on one task answers with the task. */
function onOne(aggregate: string, verb: string, operation: Operation): RestRoute {
  const { id, ids: _, filter: __, dryRun: ___, ...own } = (operation.request as z.ZodObject).shape as Fields
  const makes = verb === 'replay'
  return route<Values, Values | undefined>({
    ...common(aggregate, operation),
    codes: [...(operation.codes ?? []), 'NOT_FOUND'],
    params: z.object({ id: id! }),
    body: z.strictObject(own).optional() as z.ZodType<Values | undefined>,
    answers: { [makes ? 201 : 200]: OPERATIONS.tasks.show.answer },
    handle: async (call) => {
      const { params, body } = call
      for (const name of Object.keys(body ?? {})) {
        if (!Object.hasOwn(own, name))
          throw new FleetError('UNKNOWN_FIELD', `There is no '${name}' here`, { field: name })
      }
      const answer = (await run(call, aggregate, verb, { ...body, id: params.id })) as {
        refused: { error: { code: string; message: string } }[]
        tasks?: string[]
      }
      const [refused] = answer.refused
      if (refused !== undefined) throw new FleetError(refused.error.code, refused.error.message)
      return call.shown.tasks.show({ id: answer.tasks?.[0] ?? params.id! })
    },
  })
}

/** The same for all tasks in `ids` or matching `filter`. */
function onMany(aggregate: string, verb: string, operation: Operation): RestRoute {
  const { id: _, ...own } = (operation.request as z.ZodObject).shape as Fields
  const one = common(aggregate, operation)
  return route<Values, Values>({
    ...one,
    url: one.url.replace('/:id', ''),
    summary: `${operation.summary}, for all in \`ids\` or matching \`filter\``,
    codes: [...(operation.codes ?? []), 'BAD_FILTER', 'FILTER_TOO_BIG', 'TOO_MANY', 'QUERY_TOO_SLOW'],
    body: z.strictObject(own) as z.ZodType<Values>,
    bodyLimit: 2 * BODY_LIMITS.one,
    answers: { 200: operation.answer },
    handle: async (call) => {
      if (call.body !== undefined && 'id' in call.body) {
        throw new FleetError('UNKNOWN_FIELD', "The body must not have 'id': the path names it", { field: 'id' })
      }
      return run(call, aggregate, verb, call.body)
    },
  })
}

function common(aggregate: string, operation: Operation) {
  const { rest, scope, summary, notes, codes, etag } = operation
  const [method, url] = rest!.split(' ') as [RestRoute['method'], string]
  const about = [notes, etag === undefined ? undefined : `The answer's \`ETag\` is its \`${etag}\`, for \`If-Match\`.`]
  const description = about.filter((text) => text !== undefined).join(' ')
  return {
    method,
    url,
    scope,
    tag: aggregate,
    checkedByCore: true as const,
    ...(aggregate === 'tasks' ? { bodyLimit: BODY_LIMITS.one } : {}),
    summary,
    ...(description === '' ? {} : { description }),
    ...given({ codes }),
  }
}

/** An error inside the body has its path in the body. */
async function run({ fleet }: RestCall, aggregate: string, verb: string, request: Values): Promise<unknown> {
  const methods = fleet[aggregate as keyof typeof fleet] as unknown as Record<string, Method>
  const { body } = (OPERATIONS[aggregate as keyof typeof OPERATIONS] as Record<string, Operation>)[verb]!
  try {
    return await methods[verb]!(request)
  } catch (error) {
    if (!(error instanceof FleetError) || body === undefined || !error.field?.startsWith(`${body}.`)) throw error
    throw new FleetError(error.code, error.message, { field: error.field.slice(body.length + 1), cause: error })
  }
}
