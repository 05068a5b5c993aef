import { OPERATIONS, type Operation } from '@taskfleet/protocol'
import { GATEWAY_TAKES, TASK_TAKES } from '@taskfleet/protocol/internal'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Socket } from 'socket.io-client'
import type { z } from 'zod'
import { disturbed, type Pick, plausible } from './hostile-values.ts'

const ANSWER_MS = 30_000
const MESSAGES = { gateway: GATEWAY_TAKES, task: TASK_TAKES } as const

export interface Fault {
  /** The message or request with the wrong answer. */
  of: string
  sent: unknown
  why: string
}

/**
 * Sends valid, nearly valid and invalid messages, and reports each without an answer or with the answer `INTERNAL`.
 *
 * @param protocol of a gateway's socket or of a task's
 */
export async function sendMessages(
  socket: Socket,
  protocol: keyof typeof MESSAGES,
  count: number,
  pick: Pick,
): Promise<Fault[]> {
  const faults: Fault[] = []
  const known = Object.entries(MESSAGES[protocol]) as [string, { payload: z.ZodType }][]
  for (let sent = 0; sent < count; sent += 1) {
    const [name, { payload }] = known[pick(known.length)]!
    const event = pick(40) === 0 ? 'nobodyKnows' : name
    const right = plausible(payload, pick)
    const body = pick(2) === 0 ? disturbed(right, pick) : right
    const args = pick(50) === 0 ? [] : pick(50) === 0 ? [body, body, 'more'] : [body]
    const answer = (await socket
      .timeout(ANSWER_MS)
      .emitWithAck(event, ...args)
      .catch((error: Error) => ({ ok: false, error: { code: `NO_ANSWER: ${error.message}` } }))) as {
      ok: boolean
      error?: { code?: string }
    }
    const code = answer.ok === true ? 'ok' : answer.error?.code
    const isRight = code !== undefined && /^[A-Z_]+$|^ok$/.test(code) && code !== 'INTERNAL'
    if (!isRight) faults.push({ of: event, sent: args, why: String(code ?? JSON.stringify(answer)) })
    if (!socket.connected) return [...faults, { of: event, sent: args, why: 'the connection was closed' }]
  }
  return faults
}

interface DocumentedRoute {
  responses: Record<string, unknown>
  requestBody?: { content: Record<string, { schema: object }> }
}
interface Documented {
  paths: Record<string, Record<string, DocumentedRoute | undefined>>
  components: object
}
const ROUTES = Object.values(OPERATIONS).flatMap((verbs) =>
  Object.values(verbs as Record<string, Operation>).filter(({ rest }) => rest !== null),
)

/**
 * The same over REST. It reports each answer with a status that is not documented for its route, or of 500 and above; each invalid
 * body that is accepted; and each valid body that is refused for its shape.
 */
export async function sendRequests(url: string, token: string, count: number, pick: Pick): Promise<Fault[]> {
  const document = (await (await fetch(`${url}/api/openapi.json`)).json()) as Documented
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  const faults: Fault[] = []
  for (let sent = 0; sent < count; sent += 1) {
    const { rest, request } = ROUTES[pick(ROUTES.length)]!
    const [method, template] = rest!.split(' ') as [string, string]
    const right = plausible(request, pick)
    const body = pick(2) === 0 ? disturbed(right, pick) : right
    const fields = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
    const path = template.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(text(fields[name])) || 'x')
    const asQuery = method === 'GET' || method === 'DELETE'
    const query = asQuery
      ? `?${new URLSearchParams(Object.entries(fields).map(([name, value]): [string, string] => [name, text(value)]))}`
      : ''
    const answer = await fetch(`${url}/api/v1${path}${query}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(asQuery ? {} : { 'content-type': 'application/json' }) },
      ...(asQuery ? {} : { body: JSON.stringify(body) ?? '' }),
      signal: AbortSignal.timeout(ANSWER_MS),
    })
    const { code } = JSON.parse((await answer.text()) || '{}') as { code?: string }
    const documented = document.paths[`/api/v1${template.replace(/:(\w+)/g, '{$1}')}`]?.[method.toLowerCase()]
    const status = String(answer.status)
    const isRight = answer.status < 500 && documented?.responses[status] !== undefined
    if (!isRight) faults.push({ of: `${method} ${path}${query}`, sent: body, why: status })
    const schema = documented?.requestBody?.content['application/json']?.schema
    if (!isRight || schema === undefined || body === undefined) continue
    const isValid = ajv.validate({ ...schema, components: document.components }, body)
    if (isValid ? isOfShape(code) : answer.ok) {
      const said = isValid ? `${code} for a valid body` : `${status} for one that is not valid: ${ajv.errorsText()}`
      faults.push({ of: `${method} ${path}`, sent: body, why: said })
    }
  }
  return faults
}

/** Codes of errors that the document's schemas cover. Others are about values. */
const isOfShape = (code: string | undefined): boolean =>
  code !== undefined && ['BAD_REQUEST', 'UNKNOWN_FIELD', 'BAD_VALUE', 'READ_ONLY_FIELD'].includes(code)

/** Half a surrogate pair can't be part of an address. */
const text = (value: unknown): string =>
  (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).replace(/[\ud800-\udfff]/g, '').slice(0, 2_000)
