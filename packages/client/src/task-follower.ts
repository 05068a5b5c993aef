import {
  type Ack,
  type ClientToTask,
  FleetError,
  hasEnded,
  type TaskConnectError,
  type TaskEnd,
  type TaskRow,
  type TaskToClient,
  type TicketAnswer,
} from '@taskfleet/protocol'
import { serverOf } from '@taskfleet/protocol/internal'
import { io, type Socket } from 'socket.io-client'
import type { TaskWatch, WatchListeners, WatchSource } from './api.ts'
import { isWebAddress } from './gateways.ts'

interface Link {
  reach: 'direct' | 'relay'
  /** The transports to try, in order. */
  transports(): string[]
  ticket(): Promise<TicketAnswer>
  cancel(reason?: string): Promise<void>
  closed(): void
}

type TaskConnection = Socket<TaskToClient, ClientToTask>

const CONNECT_MS = 3_000
const isPage = 'document' in globalThis
const RETRY_MS = 1_000
const ANSWER_MS = 10_000

/**
 * Follows one task through its attempts. The task's row names the worker that runs it. Details come from the task's socket at that
 * worker, directly or through the relay.
 */
export class TaskFollower implements TaskWatch {
  readonly #listeners: WatchListeners
  readonly #link: Link
  readonly #onClose: (() => void)[] = []
  #source: WatchSource = { state: 'connecting' }
  #task: TaskRow | undefined
  /** The attempt of the open or opening socket. */
  #attempt: number | undefined
  #socket: TaskConnection | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #lastLogSeq = 0
  /** The attempt whose lines `#lastLogSeq` counts. They are numbered from 1 in each attempt. */
  #loggedAttempt: number | undefined
  #ended = false
  #closed = false

  constructor(listeners: WatchListeners, link: Link) {
    this.#listeners = listeners
    this.#link = link
  }

  get source(): WatchSource {
    return this.#source
  }

  onClose(act: () => void): void {
    if (this.#closed) act()
    else this.#onClose.push(act)
  }

  /** Takes the task's current row from the live query; undefined when there is none. */
  update(task: TaskRow | undefined): void {
    if (this.#closed) return
    this.#task = task
    if (task === undefined) {
      this.#hangUp()
      this.#setSource({ state: 'ended' })
      return
    }
    this.#listeners.onTask?.(task)
    if (task.status === 'running') {
      if (task.attempt !== this.#attempt) this.#connect(task)
      return
    }
    this.#hangUp()
    if (!hasEnded(task.status)) {
      this.#setSource({ state: 'waiting' })
      return
    }
    this.#setSource({ state: 'ended' })
    this.#end({
      status: task.status,
      ...(task.output === undefined ? {} : { output: task.output }),
      ...(task.error === undefined || task.status === 'completed' ? {} : { error: task.error }),
    })
  }

  async cancel(reason?: string): Promise<void> {
    await this.#link.cancel(reason)
  }

  /** @throws {FleetError} `NOT_CONNECTED`, `NO_ANSWER`, and the handler's errors */
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
    if (this.#closed) return
    this.#closed = true
    this.#hangUp()
    for (const act of this.#onClose) act()
    this.#link.closed()
  }

  #connect(task: TaskRow): void {
    this.#hangUp()
    this.#attempt = task.attempt
    if (this.#loggedAttempt !== task.attempt) this.#lastLogSeq = 0
    this.#loggedAttempt = task.attempt
    this.#setSource({ state: 'connecting', ...(task.publicUrl === undefined ? {} : { publicUrl: task.publicUrl }) })
    void this.#reach(task.attempt).catch((error: unknown) => {
      if (this.#attempt === task.attempt) this.#unreachable(error)
    })
  }

  /** Tries the direct address first, then the relay. */
  async #reach(attempt: number): Promise<void> {
    const { publicUrl, relayUrl, token } = await this.#link.ticket()
    const ways: ['direct' | 'relay', string][] = [['relay', relayUrl]]
    if (this.#link.reach === 'direct' && publicUrl !== undefined && isWebAddress(publicUrl))
      ways.unshift(['direct', publicUrl])
    let failed: unknown
    for (const [via, address] of ways) {
      if (this.#closed || this.#attempt !== attempt) return
      try {
        await this.#open(via, address, token, publicUrl ?? relayUrl)
        return
      } catch (error) {
        failed = error
      }
    }
    throw failed
  }

  #open(via: 'direct' | 'relay', address: string, token: string, publicUrl: string): Promise<void> {
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
    let over = false
    const mine = (): boolean => !this.#closed && this.#socket === socket
    socket.on('snapshot', ({ progress, log }) => {
      if (!mine()) return
      if (progress !== null) this.#listeners.onProgress?.(progress)
      for (const line of log) this.#logLine(line)
    })
    socket.on('progress', (progress) => {
      if (mine()) this.#listeners.onProgress?.(progress)
    })
    socket.on('log', (line) => {
      if (mine()) this.#logLine(line)
    })
    socket.on('event', (event) => {
      if (mine()) this.#listeners.onEvent?.(event)
    })
    socket.on('dropped', (dropped) => {
      if (mine()) this.#listeners.onDropped?.(dropped)
    })
    socket.on('end', (end) => {
      if (!mine()) return
      over = true
      if (hasEnded(end.status)) this.#end(end)
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
        if (mine()) this.#setSource({ state: 'live', via, publicUrl })
        resolve()
      })
      socket.once('connect_error', (error: Error & { data?: TaskConnectError }) => {
        fail(error.data?.code ?? 'UNREACHABLE', error.message)
      })
      socket.once('disconnect', () => {
        if (!connected) fail('UNREACHABLE', 'the connection was lost')
        // The live query shows where the task goes on. If it still runs here, the connection was lost.
        else if (mine() && over) this.#attemptOver()
        else if (mine() && this.#task?.status === 'running')
          this.#unreachable(new FleetError('UNREACHABLE', 'the connection was lost'))
      })
    })
  }

  #unreachable(error: unknown): void {
    if (this.#closed || this.#task?.status !== 'running') return
    const reason = error instanceof Error ? error.message : String(error)
    this.#setSource({ state: 'unreachable', publicUrl: this.#task.publicUrl ?? '', reason })
    this.#tryLater()
  }

  /** The attempt has reported its end. The row with the next status is on its way. */
  #attemptOver(): void {
    this.#setSource({ state: this.#ended ? 'ended' : 'waiting' })
    if (!this.#ended) this.#tryLater()
  }

  #tryLater(): void {
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      if (!this.#closed && this.#task?.status === 'running') this.#connect(this.#task)
    }, RETRY_MS)
  }

  #logLine(line: { seq: number; at: string; level: 'debug' | 'info' | 'warn' | 'error'; message: string }): void {
    if (line.seq <= this.#lastLogSeq) return
    this.#lastLogSeq = line.seq
    this.#listeners.onLog?.(line)
  }

  /** Reports the end once: from the socket with the output, or from the row without it. */
  #end(end: TaskEnd): void {
    if (this.#ended) return
    this.#ended = true
    this.#listeners.onEnd?.(end)
  }

  #hangUp(): void {
    clearTimeout(this.#retry)
    this.#attempt = undefined
    const socket = this.#socket
    this.#socket = undefined
    socket?.disconnect()
  }

  #setSource(source: WatchSource): void {
    if (JSON.stringify(source) === JSON.stringify(this.#source)) return
    this.#source = source
    this.#listeners.onSource?.(source)
  }
}
