import { randomUUID } from 'node:crypto'
import { asError } from '@taskfleet/core'
import { databaseError } from '@taskfleet/core/internal'
import { BatchRefused, type EntryProblem, FleetError, UnknownOutcome } from '@taskfleet/protocol'
import { given, meaningOf } from '@taskfleet/protocol/internal'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { SignInLimited } from '../sign-in-limit.ts'

/** An error as it is answered: RFC 9457 with a stable `code` for programs. */
interface Problem {
  type: 'about:blank'
  status: number
  title: string
  code: string
  field?: string
  errors?: EntryProblem[]
  /** The revision that a task is at, for `REV_CONFLICT`. */
  rev?: number
  /** The ids to repeat the request under, for `UNKNOWN_OUTCOME`. */
  ids?: string[]
}

/** An edit of what has changed meanwhile. */
export class RevConflict extends FleetError {
  readonly rev: number

  constructor(message: string, rev: number, field: string) {
    super('REV_CONFLICT', message, { field })
    this.rev = rev
  }
}

/** Answers every error of a request; what nobody foresaw is logged with its cause and told by a number only. */
export function answerErrors(
  log: Logger,
): (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply) => void {
  return (error, request, reply) => {
    const known = toFleetError(error, request)
    const problem = known === undefined ? unforeseen(error, request, log) : toProblem(known)
    if (problem.status === 401) void reply.header('www-authenticate', 'Bearer')
    if (problem.status === 503 || problem.code === 'QUEUE_FULL') void reply.header('retry-after', '1')
    if (known instanceof SignInLimited) void reply.header('retry-after', String(known.retryAfterS))
    // What is left of the body would be taken for the next request.
    if (problem.status === 408 || problem.status === 413) void reply.header('connection', 'close')
    void reply.code(problem.status).type('application/problem+json').serializer(JSON.stringify).send(problem)
  }
}

function toProblem(error: FleetError): Problem {
  return {
    type: 'about:blank',
    status: meaningOf(error.code).status,
    title: error.message,
    code: error.code,
    ...given({ field: error.field }),
    ...(error instanceof BatchRefused ? { errors: [...error.entries] } : {}),
    ...(error instanceof RevConflict ? { rev: error.rev } : {}),
    ...(error instanceof UnknownOutcome && error.ids.length > 0 ? { ids: [...error.ids] } : {}),
  }
}

/** What the framework and the driver throw, in our words; undefined for what nobody foresaw. */
function toFleetError(error: FastifyError | Error, request: FastifyRequest): FleetError | undefined {
  if (error instanceof FleetError) return error
  const { code, statusCode } = error as { code?: string | number; statusCode?: number }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new FleetError('INPUT_TOO_LARGE', 'The body is too large')
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new FleetError('UNSUPPORTED_MEDIA_TYPE', 'A body is JSON: say so with content-type: application/json')
  }
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new FleetError('BAD_REQUEST', error.message)
  }
  return databaseError(error, { asked: request.method === 'GET' ? 'read' : 'write' })
}

function unforeseen(error: Error, { method, routeOptions }: FastifyRequest, log: Logger): Problem {
  const request = randomUUID().slice(0, 8)
  log.error({ err: asError(error), request, method, route: routeOptions.url }, 'a request failed unexpectedly')
  const title = `Something went wrong here; the log knows it as ${request}`
  return { type: 'about:blank', status: 500, title, code: 'INTERNAL' }
}
