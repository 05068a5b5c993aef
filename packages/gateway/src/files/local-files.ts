import { hostname } from 'node:os'
import { asError, type Fleet, type Principal, type TaskDocument } from '@taskfleet/core'
import { parseId, requireReach, requireScope } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Access } from '../access.ts'
import type { Attempts } from '../attempts.ts'
import { answerErrors } from '../rest/problem.ts'
import type { FileTokens } from './file-tokens.ts'
import { type OpenFile, openFile } from './open-file.ts'
import { sendFile } from './send-file.ts'

/** How long a client may take no byte, in milliseconds. */
export const IDLE_MS = 60_000

export interface LocalFilesDeps {
  fleet: Fleet
  access: Access
  tokens: FileTokens
  /** The worker of this process. */
  attempts: Attempts | undefined
  log: Logger
}

/** The files of completed tasks on this host, as far as the worker of this process knows them. */
export class LocalFiles {
  readonly #deps: LocalFilesDeps

  constructor(deps: LocalFilesDeps) {
    this.#deps = deps
  }

  /** Serves them at `/task-files/:id` to gateways of the fleet, which have a token for exactly that task. */
  serve(http: FastifyInstance): void {
    const { access, tokens, log } = this.#deps
    http.get<{ Params: { id: string } }>(
      '/task-files/:id',
      { errorHandler: answerErrors(log) },
      async (request, reply) => {
        const { id } = request.params
        const [, token] = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? []
        const holder = await access.counted(token, request.ip, () => tokens.verify(token, id))
        // The key may have lost permissions since the token was made.
        const principal = await access.present(holder)
        requireScope(principal, 'read')
        return sendFile(request, reply, await this.open(await this.task(id, principal)), IDLE_MS)
      },
    )
  }

  /** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED`, `NOT_COMPLETED` */
  async task(id: string, principal: Principal): Promise<TaskDocument> {
    const task = await this.#deps.fleet.store.find(parseId(id))
    if (task === null) throw new FleetError('NOT_FOUND', 'There is no such task', { field: 'id' })
    requireReach(principal, task)
    if (task.status === 'completed') return task
    throw new FleetError('NOT_COMPLETED', `This task is ${task.status}; only a completed one has a file`)
  }

  /** @throws {FleetError} `NO_FILE` if the file is not on this host, or the task's handler has none */
  async open(task: TaskDocument): Promise<OpenFile> {
    const file = this.#fileOf(task)
    if (file === undefined) throw new FleetError('NO_FILE', 'Tasks of this name have no file on this worker')
    if (!file.shared && task.host !== hostname())
      throw new FleetError(
        'NO_FILE',
        'This task ended on another host, and its handler does not say that they share a disk',
      )
    return openFile(file)
  }

  #fileOf(task: TaskDocument): ReturnType<NonNullable<Attempts['file']>> {
    try {
      return this.#deps.attempts?.file?.(task)
    } catch (error) {
      this.#deps.log.warn({ err: asError(error), task: task._id.toHexString() }, "a handler's 'files' failed")
      return undefined
    }
  }
}
