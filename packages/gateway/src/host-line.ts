import {
  type Ack,
  type ClientToHost,
  FleetError,
  type HostToClient,
  receivedError,
  type WatchedTask,
} from '@taskfleet/protocol'
import { given, serverOf } from '@taskfleet/protocol/internal'
import type { Socket } from 'socket.io'
import { type Socket as ClientSocket, io as connect } from 'socket.io-client'
import type { Accounts } from './accounts.ts'
import type { Backlog } from './backlog.ts'
import type { Wants } from './host-tasks.ts'
import { TasksQueue } from './tasks-queue.ts'
import { WatchedRows } from './watched-rows.ts'

const CONNECT_MS = 5_000
const ANSWER_MS = 15_000

type Upstream = ClientSocket<HostToClient, ClientToHost>

/** What the relay was refused with by a host. */
export class HostRefusal extends FleetError {}

/** The relay's connection to a host, with the ticket of its client: one for all tasks that the client watches there. */
export class HostLine {
  readonly #upstream: Upstream
  #rows: WatchedRows | undefined
  #queue: TasksQueue | undefined

  private constructor(upstream: Upstream) {
    this.#upstream = upstream
  }

  /** @throws {HostRefusal} the refusal of the host's own socket, `NO_HOST_SOCKET` if it has none, or `UNREACHABLE` */
  static async open(address: string, token: unknown): Promise<HostLine> {
    const { uri, path } = serverOf(address)
    const upstream: Upstream = connect(uri, {
      path,
      auth: { token },
      transports: ['websocket'],
      forceNew: true,
      reconnection: false,
      timeout: CONNECT_MS,
    })
    let late: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        late = setTimeout(() => reject(new HostRefusal('UNREACHABLE', 'The worker does not answer')), CONNECT_MS)
        upstream.once('connect', resolve)
        upstream.once('disconnect', () => reject(new HostRefusal('UNREACHABLE', 'The worker hung up')))
        upstream.once('connect_error', (error: Error & { data?: { code?: string } }) => reject(refusalOf(error)))
      })
    } catch (error) {
      upstream.disconnect()
      throw error
    } finally {
      clearTimeout(late)
    }
    return new HostLine(upstream)
  }

  /** The client has been admitted: from now on it gets what the host sends. */
  attach(socket: Socket, { accounts, backlog }: { accounts: Accounts; backlog: Backlog }): void {
    const queue = new TasksQueue(socket, backlog)
    const rows = new WatchedRows(socket, accounts)
    this.#queue = queue
    this.#rows = rows
    const upstream = this.#upstream
    upstream.on('tasksProgress', ({ tasks }) => {
      for (const { id, attempt, progress } of tasks) queue.progress(id, attempt, progress)
    })
    upstream.on('taskLines', ({ id, attempt, lines }) => queue.lines(id, attempt, lines))
    upstream.on('taskEvent', (event) => queue.event(event))
    upstream.on('taskDropped', (dropped) => queue.dropped(dropped))
    upstream.on('taskEnd', (end) => {
      rows.give(end.id)
      queue.end(end)
    })
    upstream.on('disconnect', () => socket.disconnect())
    if (!upstream.connected) socket.disconnect()
  }

  /** @throws {FleetError} the host's refusal, or `UNREACHABLE` */
  async watch(ids: readonly string[], wants: Wants): Promise<WatchedTask[]> {
    const refused = new Map<string, WatchedTask>()
    const fresh: string[] = []
    const taken = [...new Set(ids)].filter((id) => {
      try {
        if (this.#rows!.take(id)) fresh.push(id)
        return true
      } catch (error) {
        const { code, message } = error as FleetError
        refused.set(id, { id, error: { code, message } })
        return false
      }
    })
    try {
      const { tasks } =
        taken.length === 0
          ? { tasks: [] }
          : await this.#ask<{ tasks: WatchedTask[] }>('watchTasks', { ids: taken, ...given(wants) })
      for (const { id, error } of tasks) if (error !== undefined) this.#rows!.give(id)
      return [...tasks, ...refused.values()]
    } catch (error) {
      for (const id of fresh) this.#rows!.give(id)
      throw error
    }
  }

  async unwatch(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      this.#rows!.give(id)
      this.#queue!.forget(id)
    }
    await this.#ask('unwatchTasks', { ids })
  }

  async message(id: string, name: string, data: unknown): Promise<unknown> {
    const answer = await this.#ask<{ data?: unknown }>('messageTask', { id, name, ...given({ data }) })
    return answer.data
  }

  close(): void {
    this.#upstream.removeAllListeners()
    this.#upstream.disconnect()
    this.#rows?.clear()
    this.#queue?.close()
  }

  async #ask<T = object>(event: keyof ClientToHost, request: object): Promise<T> {
    const emit = this.#upstream.timeout(ANSWER_MS) as unknown as {
      emitWithAck(event: string, request: unknown): Promise<Ack<object>>
    }
    const answer = await emit.emitWithAck(event, request).catch((error: unknown) => {
      throw new FleetError('UNREACHABLE', 'The worker did not answer', { cause: error })
    })
    if (!answer.ok) throw receivedError(answer.error)
    return answer as unknown as T
  }
}

/** A host of an earlier version has no such namespace. */
function refusalOf(error: Error & { data?: { code?: string } }): HostRefusal {
  if (error.message === 'Invalid namespace') {
    return new HostRefusal('NO_HOST_SOCKET', 'This worker has only sockets for single tasks')
  }
  return new HostRefusal(error.data?.code ?? 'UNREACHABLE', error.message)
}
