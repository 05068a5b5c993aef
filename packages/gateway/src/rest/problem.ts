import { randomUUID } from 'node:crypto'
import { asError } from '@taskfleet/core'
import { databaseError } from '@taskfleet/core/internal'
import { BatchRefused, type EntryProblem, FleetError, UnknownOutcome } from '@taskfleet/protocol'
import { given, meaningOf } from '@taskfleet/protocol/internal'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { SignInLimited } from '../sign-in-limit.ts'

/** An error in an answer: RFC 9457 with a stable `code` for programs. */
interface Problem {
  type: 'about:blank'
  status: number
  title: string
  code: string
  field?: string
  errors?: EntryProblem[]
  /** The current revision of the task, for `REV_CONFLICT`. */
  rev?: number
  /** The ids to repeat the request with, for `UNKNOWN_OUTCOME`. */
  ids?: string[]
}

/** An edit of a document that has changed since. */
export class RevConflict extends FleetError {
  readonly rev: number

  constructor(message: string, rev: number, field: string) {
    super('REV_CONFLICT', message, { field })
    this.rev = rev
  }
}

/** Answers every error of a request. An unexpected error is logged with its cause, and the client gets only a number. */
export function answerErrors(
  log: Logger,
): (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply) => void {
  return (error, request, reply) => {
    const known = toFleetError(error, request)
    const problem = known === undefined ? unforeseen(error, request, log) : toProblem(known)
    if (problem.status === 401) void reply.header('www-authenticate', 'Bearer')
    if (problem.status === 503 || problem.code === 'QUEUE_FULL') void reply.header('retry-after', '1')
    if (known instanceof SignInLimited) void reply.header('retry-after', String(known.retryAfterS))
    // The rest of the body would be read as the next request.
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

/** Errors of the framework and the driver as a `FleetError`; undefined for unexpected ones. */
function toFleetError(error: FastifyError | Error, request: FastifyRequest): FleetError | undefined {
  if (error instanceof FleetError) return error
  const { code, statusCode } = error as { code?: string | number; statusCode?: number }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new FleetError('INPUT_TOO_LARGE', 'The body is too large')
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new FleetError('UNSUPPORTED_MEDIA_TYPE', 'A body must be JSON, with content-type: application/json')
  }
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new FleetError('BAD_REQUEST', error.message)
  }
  return databaseError(error, { asked: request.method === 'GET' ? 'read' : 'write' })
}

function unforeseen(error: Error, { method, routeOptions }: FastifyRequest, log: Logger): Problem {
  const request = randomUUID().slice(0, 8)
  log.error({ err: asError(error), request, method, route: routeOptions.url }, 'a request failed unexpectedly')
  const title = `An unexpected error; it is in the log under ${request}`
  return { type: 'about:blank', status: 500, title, code: 'INTERNAL' }
}
