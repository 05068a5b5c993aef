import {
  type Ack,
  type ClientToTask,
  FleetError,
  type TaskConnectError,
  type TaskToClient,
  type TicketAnswer,
} from '@taskfleet/protocol'
import { serverOf } from '@taskfleet/protocol/internal'
import { io, type Socket } from 'socket.io-client'
import type { AttemptLine, AttemptListener } from './attempt-line.ts'
import { isReachable } from './gateways.ts'

type TaskConnection = Socket<TaskToClient, ClientToTask>

const CONNECT_MS = 3_000
const RETRY_MS = 1_000
const ANSWER_MS = 10_000
const isPage = 'document' in globalThis

export interface TaskSocketLink {
  reach: 'direct' | 'relay'
  transports(): string[]
  ticket(id: string): Promise<TicketAnswer>
}

/** A connection for one task only, to hosts of an earlier version. */
export class TaskSocketLine implements AttemptLine {
  readonly #task: { id: string; attempt: number }
  readonly #listener: AttemptListener
  readonly #link: TaskSocketLink
  #socket: TaskConnection | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #closed = false

  constructor(task: { id: string; attempt: number }, listener: AttemptListener, link: TaskSocketLink) {
    this.#task = task
    this.#listener = listener
    this.#link = link
    void this.#try()
  }

  get connected(): boolean {
    return this.#socket?.connected === true
  }

  async message(name: string, data?: unknown): Promise<unknown> {
    if (this.#socket?.connected !== true) throw new FleetError('NOT_CONNECTED', "The task's socket is not open")
    const emit = this.#socket.timeout(ANSWER_MS) as unknown as {
      emitWithAck(event: string, request: unknown): Promise<Ack<{ data?: unknown }>>
    }
    const answer = await emit.emitWithAck('message', { name, data }).catch((error: unknown) => {
      throw new FleetError('NO_ANSWER', 'The task did not answer in time', { cause: error })
    })
    if (!answer.ok) throw new FleetError(answer.error.code, answer.error.message, { field: answer.error.field })
    return answer.data
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#socket?.disconnect()
    this.#socket = undefined
  }

  async #try(): Promise<void> {
    try {
      await this.#reach()
    } catch (error) {
      this.#lost(error)
    }
  }

  #lost(error: unknown): void {
    if (this.#closed) return
    this.#listener.unreachable(error instanceof FleetError ? error : new FleetError('UNREACHABLE', String(error)))
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => void this.#try(), RETRY_MS)
  }

  /** Tries the direct address first, then the relay. */
  async #reach(): Promise<void> {
    const { publicUrl, relayUrl, token } = await this.#link.ticket(this.#task.id)
    const ways: ['direct' | 'relay', string][] = [['relay', relayUrl]]
    if (this.#link.reach === 'direct' && publicUrl !== undefined && isReachable(publicUrl))
      ways.unshift(['direct', publicUrl])
    let failed: unknown
    for (const [via, address] of ways) {
      if (this.#closed) return
      try {
        await this.#open(via, address, token)
        return
      } catch (error) {
        failed = error
      }
    }
    throw failed
  }

  #open(via: 'direct' | 'relay', address: string, token: string): Promise<void> {
    const { uri, path } = serverOf(address)
    const socket: TaskConnection = io(uri, {
      path,
      auth: { token },
      // The content policy of a page allows only websockets to other hosts. The relay takes both.
      transports: via === 'direct' && isPage ? ['websocket'] : this.#link.transports(),
      tryAllTransports: true,
      forceNew: true,
      reconnection: false,
      timeout: CONNECT_MS,
    })
    this.#socket = socket
    const { attempt } = this.#task
    const listener = this.#listener
    let over = false
    const mine = (): boolean => !this.#closed && this.#socket === socket
    socket.on('snapshot', ({ progress, log }) => {
      if (!mine()) return
      if (progress !== null) listener.progress(progress, attempt)
      for (const line of log) listener.log(line, attempt)
    })
    socket.on('progress', (progress) => mine() && listener.progress(progress, attempt))
    socket.on('log', (line) => mine() && listener.log(line, attempt))
    socket.on('event', (event) => mine() && listener.event(event))
    socket.on('dropped', (dropped) => mine() && listener.dropped(dropped))
    socket.on('end', (end) => {
      if (!mine()) return
      over = true
      listener.end(end, false)
    })
    return new Promise((resolve, reject) => {
      const fail = (code: string, message: string): void => {
        clearTimeout(timer)
        socket.disconnect()
        reject(new FleetError(code, message))
      }
      // Also limits the wait for admission: another program may listen there and never respond.
      const timer = setTimeout(() => fail('UNREACHABLE', 'no answer in time'), CONNECT_MS + RETRY_MS)
      let connected = false
      socket.once('connect', () => {
        connected = true
        clearTimeout(timer)
        if (mine()) listener.live(via)
        resolve()
      })
      socket.once('connect_error', (error: Error & { data?: TaskConnectError }) => {
        fail(error.data?.code ?? 'UNREACHABLE', error.message)
      })
      socket.once('disconnect', () => {
        if (!connected) fail('UNREACHABLE', 'the connection was lost')
        else if (mine() && !over) this.#lost(new FleetError('UNREACHABLE', 'the connection was lost'))
      })
    })
  }
}
