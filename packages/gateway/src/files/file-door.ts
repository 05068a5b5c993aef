import type { IncomingMessage } from 'node:http'
import type { Principal, TaskDocument } from '@taskfleet/core'
import { FleetError } from '@taskfleet/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Accounts } from '../accounts.ts'
import { askWorker } from './ask-worker.ts'
import { IDLE_MS, type LocalFiles, type LocalFilesDeps } from './local-files.ts'
import { endWithout, notSatisfiable, sendBody, sendFile } from './send-file.ts'

/** How many workers are asked for a file, one after the other. */
const MOST_ASKED = 4
/** Headers of a worker's answer that are passed on. */
const PASSED = ['accept-ranges', 'etag', 'last-modified', 'content-range', 'content-disposition']

export interface FileDoorDeps extends LocalFilesDeps {
  local: LocalFiles
  accounts: Accounts
}

/** Answers a client's request for a task's file, wherever in the fleet it is. */
export class FileDoor {
  readonly #deps: FileDoorDeps

  constructor(deps: FileDoorDeps) {
    this.#deps = deps
  }

  /**
   * Resolves when the answer has ended.
   *
   * @param principal has the scope to read
   * @throws {FleetError} `NOT_FOUND`, `NOT_COMPLETED`, `NO_FILE`, `HOST_AWAY`, `RANGE_NOT_SATISFIABLE`, `TOO_MANY_CONNECTIONS`, and the refusals of reach
   */
  async answer(principal: Principal, id: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { local, accounts, attempts } = this.#deps
    const task = await local.task(id, principal)
    // A client that has left meanwhile gets no other `close`, so it would be counted for ever.
    if (reply.raw.destroyed) return
    reply.raw.once('close', accounts.enterTransfer(principal.id, request.ip))
    const missing = new Set<string>()
    if (attempts?.file !== undefined) {
      const file = await local.open(task).catch(ifMissing)
      if (file !== undefined) return sendFile(request, reply, file, IDLE_MS)
      missing.add(attempts.id)
    }
    for (const { worker, address } of await this.#holders(task)) {
      const answer = await this.#ask(address, id, principal, request, reply)
      if (answer === 'missing') missing.add(worker)
      else if (answer !== 'away') return pass(answer, request, reply)
    }
    throw await this.#notHere(task, missing)
  }

  /** The live workers that may have the file, the most likely one first. */
  async #holders({ name, host, attempts }: TaskDocument): Promise<{ worker: string; address: string }[]> {
    const { fleet, access, attempts: own } = this.#deps
    const last = attempts.at(-1)?.worker
    const rank = (worker: { _id: string; host: string }): number =>
      worker._id === last ? 0 : worker.host === host ? 1 : 2
    return (await fleet.workers.live())
      .filter(({ _id, role, tasks }) => {
        return role === 'worker' && _id !== own?.id && tasks.some((served) => served.startsWith(`${name}@`))
      })
      .sort((one, other) => rank(one) - rank(other))
      .flatMap(({ _id }) => {
        const address = access.addressOf(_id)
        return address === undefined ? [] : [{ worker: _id, address }]
      })
      .slice(0, MOST_ASKED)
  }

  async #ask(
    address: string,
    id: string,
    principal: Principal,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<IncomingMessage | 'missing' | 'away'> {
    const { tokens, log } = this.#deps
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    const { range, 'if-range': ifRange, 'if-none-match': ifNoneMatch } = request.headers
    try {
      const answer = await askWorker(`${address}/task-files/${id}`, {
        method: request.method === 'HEAD' ? 'HEAD' : 'GET',
        headers: {
          authorization: `Bearer ${await tokens.issue(id, principal)}`,
          ...(range !== undefined && { range }),
          ...(ifRange !== undefined && { 'if-range': ifRange }),
          ...(ifNoneMatch !== undefined && { 'if-none-match': ifNoneMatch }),
        },
        signal: gone.signal,
      })
      const { statusCode = 0 } = answer
      const hasLength = answer.headers['content-length'] !== undefined
      if ([304, 416].includes(statusCode) || ([200, 206].includes(statusCode) && hasLength)) return answer
      answer.destroy()
      if (statusCode === 404) return 'missing'
      log.warn({ task: id, address, status: statusCode }, 'a worker refused to send the file of a task')
    } catch (error) {
      log.info({ task: id, address, err: error }, 'a worker could not be asked for the file of a task')
    }
    return 'away'
  }

  /** `NO_FILE` only if a worker of the right host has said so. */
  async #notHere({ host, attempts }: TaskDocument, missing: ReadonlySet<string>): Promise<FleetError> {
    const last = attempts.at(-1)?.worker
    const workers = await this.#deps.fleet.workers.live()
    const said = workers.some(({ _id, host: at }) => missing.has(_id) && (at === host || _id === last))
    return said
      ? new FleetError('NO_FILE', 'This task has no file, or it is not there any more')
      : new FleetError(
          'HOST_AWAY',
          'No worker of the host that has this file can be reached: one must run there with this task and --listen',
        )
  }
}

function ifMissing(error: unknown): undefined {
  if (!(error instanceof FleetError) || error.code !== 'NO_FILE') throw error
  return undefined
}

/** Passes a worker's answer on. @throws {FleetError} `RANGE_NOT_SATISFIABLE` */
async function pass(answer: IncomingMessage, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { statusCode = 502, headers } = answer
  for (const name of PASSED) if (headers[name] !== undefined) void reply.header(name, headers[name])
  const bytes = Number(headers['content-length'] ?? 0)
  const hasBody = request.method === 'GET' && (statusCode === 200 || statusCode === 206) && bytes > 0
  if (!hasBody) answer.resume()
  if (statusCode === 416) throw notSatisfiable()
  if (statusCode === 304) return endWithout(reply, 304)
  return sendBody(reply, { status: statusCode, bytes, body: hasBody ? answer : undefined, idleMs: IDLE_MS })
}
