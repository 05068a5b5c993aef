import type { OutgoingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { attachment } from './disposition.ts'
import { planFile } from './file-plan.ts'
import { flowing } from './flow.ts'
import type { OpenFile } from './open-file.ts'

/** A file's bytes come from somewhere else than this fleet: a browser saves them and never runs them. */
const SAFE = {
  'content-type': 'application/octet-stream',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; sandbox",
  'cache-control': 'private, no-cache',
}
const READ_AT_ONCE = 256 * 1024

/** Answers with an open file, and closes it; resolves when the answer has ended. @throws {FleetError} `RANGE_NOT_SATISFIABLE` */
export async function sendFile(
  request: FastifyRequest,
  reply: FastifyReply,
  { handle, name, ...version }: OpenFile,
  idleMs: number,
): Promise<void> {
  const { range, 'if-range': ifRange, 'if-none-match': ifNoneMatch } = request.headers
  const conditions = given({ range, ifRange: one(ifRange), ifNoneMatch })
  const plan = planFile({ method: request.method, ...conditions }, version, Date.now())
  const bytes = 'from' in plan ? plan.to - plan.from : 0
  const hasBody = request.method === 'GET' && bytes > 0
  if (!hasBody) await handle.close()
  void reply.headers({
    'accept-ranges': 'bytes',
    etag: version.etag,
    'last-modified': version.modified.toUTCString(),
    ...(plan.status === 206 && { 'content-range': `bytes ${plan.from}-${plan.to - 1}/${version.size}` }),
    ...(plan.status === 416 && { 'content-range': `bytes */${version.size}` }),
  })
  if (plan.status === 416) throw notSatisfiable()
  if (plan.status === 304) return endWithout(reply, 304)
  void reply.headers({ 'content-disposition': attachment(name) })
  return sendBody(reply, {
    status: plan.status,
    bytes,
    body: hasBody
      ? handle.createReadStream({ start: plan.from, end: plan.to - 1, highWaterMark: READ_AT_ONCE })
      : undefined,
    idleMs,
  })
}

export interface FileBody {
  status: number
  /** The length of the body, which a HEAD names too. */
  bytes: number
  /** Undefined for a HEAD, and for an empty file. */
  body: Readable | undefined
  idleMs: number
}

/** Sends a file's bytes as fast as the client reads; resolves when the answer has ended. */
export async function sendBody(reply: FastifyReply, { status, bytes, body, idleMs }: FileBody): Promise<void> {
  void reply.code(status).headers({ ...SAFE, 'content-length': String(bytes) })
  if (body === undefined) endWithout(reply, status)
  else await reply.send(flowing(body, { bytes, idleMs }))
}

/** For answers without a body, whose length the framework would set to 0. */
export function endWithout(reply: FastifyReply, status: number): void {
  reply.hijack()
  reply.raw.writeHead(status, reply.getHeaders() as OutgoingHttpHeaders).end()
}

export const notSatisfiable = (): FleetError =>
  new FleetError('RANGE_NOT_SATISFIABLE', 'The file has no byte of this range; content-range has its size')

const one = (header: string | string[] | undefined): string | undefined => (Array.isArray(header) ? header[0] : header)
