import {
  type Ack,
  type ClientToHost,
  FleetError,
  type HostTicketAnswer,
  type HostToClient,
  receivedError,
  type WatchedTask,
} from '@taskfleet/protocol'
import { serverOf } from '@taskfleet/protocol/internal'
import { io, type Socket } from 'socket.io-client'
import type { AttemptListener, Wants } from './attempt-line.ts'
import { isReachable } from './gateways.ts'
import { mayPass } from './may-pass.ts'
import { retryDelay } from './retry-delay.ts'

export type HostSocket = Socket<HostToClient, ClientToHost>

/** The parts of a client that its connections to hosts need. */
export interface HostLink {
  reach: 'direct' | 'relay'
  /** The transports to try, in order. */
  transports(): string[]
  hostTicket(id: string): Promise<HostTicketAnswer>
  /** The worker at which the client's gateway is, if it is at one. */
  ownWorker(): string | undefined
  /** A namespace on the connection to the gateway. */
  namespace(name: string, token: string): Socket
}

/** One watcher of a task. */
export interface Watcher {
  listener: AttemptListener
  wants: Wants
}

const CONNECT_MS = 3_000
/** Other programs may listen at the address and never respond. The relay first connects to the host. */
const ADMIT_MS = 6_000
const ANSWER_MS = 15_000
/** Changes within this time are sent together. */
const COLLECT_MS = 100
/** How many tasks one message names at most. */
const AT_ONCE = 500
/** For how many tasks a ticket is requested in one try. */
const TICKETS_AT_ONCE = 5
/** How long a connection without watchers stays open, for the next page that shows tasks of this host. */
const LINGER_MS = 2_000
const MOST_RETRY_MS = 5_000
const isPage = 'document' in globalThis
/** Refusals of a ticket that concern the task, not the host. */
const OF_TASK = new Set(['NOT_RUNNING', 'NOT_FOUND', 'BAD_ID', 'QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED'])

/**
 * The connection to one host, for all watchers of its tasks: to the host itself, over the connection to the gateway if the gateway is at
 * that host, or through the gateway's relay. It is open while there are watchers, and tried again by itself.
 */
export class HostConnection {
  readonly #worker: string
  readonly #link: HostLink
  /** The host or the gateway has only sockets for single tasks. */
  readonly #isOld: () => void
  readonly #closed: () => void
  readonly #watchers = new Map<string, Set<Watcher>>()
  /** Tasks whose watching at the host is to be changed. */
  readonly #changed = new Set<string>()
  /** What the host was asked for. */
  readonly #told = new Map<string, Wants>()
  /** Tasks for which the host is asked again, so that a new watcher gets the current progress. */
  readonly #again = new Set<string>()
  #socket: HostSocket | undefined
  #via: 'direct' | 'relay' = 'direct'
  /** The way that has worked last. */
  #good: string | undefined
  #opening = false
  #over = false
  #failures = 0
  #sentAt = Number.NEGATIVE_INFINITY
  #sending: ReturnType<typeof setTimeout> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #retryWatch: ReturnType<typeof setTimeout> | undefined
  /** Why the last try failed, until the next one. */
  #error: FleetError | undefined
  #linger: ReturnType<typeof setTimeout> | undefined

  constructor(worker: string, link: HostLink, on: { isOld: () => void; closed: () => void }) {
    this.#worker = worker
    this.#link = link
    this.#isOld = on.isOld
    this.#closed = on.closed
  }

  get connected(): boolean {
    return this.#socket?.connected === true
  }

  add(id: string, watcher: Watcher): void {
    clearTimeout(this.#linger)
    const watchers = this.#watchers.get(id) ?? new Set()
    this.#watchers.set(id, watchers)
    watchers.add(watcher)
    this.#again.add(id)
    this.#change(id)
    if (this.#error !== undefined) watcher.listener.unreachable(this.#error)
    else if (!this.connected) void this.#open()
  }

  remove(id: string, watcher: Watcher): void {
    const watchers = this.#watchers.get(id)
    if (watchers?.delete(watcher) !== true || watchers.size > 0) return
    this.#forget(id)
    this.#change(id)
  }

  /** @throws {FleetError} `NOT_CONNECTED`, `NO_ANSWER`, and the handler's errors */
  async message(id: string, name: string, data: unknown): Promise<unknown> {
    if (!this.connected) throw new FleetError('NOT_CONNECTED', 'The connection to the host of the task is not open')
    const request = { id, name, ...(data === undefined ? {} : { data }) }
    const answer = await this.#ask<{ data?: unknown }>('messageTask', request)
    return answer.data
  }

  close(): void {
    if (this.#over) return
    this.#over = true
    for (const timer of [this.#sending, this.#retry, this.#retryWatch, this.#linger]) clearTimeout(timer)
    const socket = this.#socket
    this.#socket = undefined
    socket?.disconnect()
    this.#closed()
  }

  /** All watchers, so that they can go on in another way. */
  takeWatchers(): [id: string, watcher: Watcher][] {
    const all = [...this.#watchers].flatMap(([id, watchers]) =>
      [...watchers].map((one) => [id, one] as [string, Watcher]),
    )
    this.#watchers.clear()
    return all
  }

  #forget(id: string): void {
    this.#watchers.delete(id)
    this.#again.delete(id)
    if (this.#watchers.size > 0) return
    clearTimeout(this.#linger)
    this.#linger = setTimeout(() => this.close(), LINGER_MS)
  }

  #change(id: string): void {
    this.#changed.add(id)
    if (!this.connected || this.#sending !== undefined) return
    const wait = Math.max(0, this.#sentAt + COLLECT_MS - performance.now())
    this.#sending = setTimeout(() => this.#sendChanges(), wait)
  }

  #sendChanges(): void {
    this.#sending = undefined
    if (!this.connected) return
    this.#sentAt = performance.now()
    const left: string[] = []
    const groups = new Map<string, { wants: Wants; ids: string[] }>()
    for (const id of this.#changed) {
      const watchers = this.#watchers.get(id)
      if (watchers === undefined) {
        if (this.#told.delete(id)) left.push(id)
        continue
      }
      const wants = wantsOf(watchers)
      if (!this.#again.delete(id) && JSON.stringify(this.#told.get(id)) === JSON.stringify(wants)) continue
      this.#told.set(id, wants)
      const group = groups.get(JSON.stringify(wants)) ?? { wants, ids: [] }
      groups.set(JSON.stringify(wants), group)
      group.ids.push(id)
    }
    this.#changed.clear()
    for (const ids of portions(left)) void this.#ask('unwatchTasks', { ids }).catch(() => undefined)
    for (const { wants, ids } of groups.values()) for (const some of portions(ids)) void this.#watch(some, wants)
  }

  async #watch(ids: string[], wants: Wants): Promise<void> {
    const socket = this.#socket
    const mine = (): boolean => socket !== undefined && this.#socket === socket
    try {
      const { tasks } = await this.#ask<{ tasks: WatchedTask[] }>('watchTasks', { ids, ...wants })
      if (!mine()) return
      this.#failures = 0
      for (const task of tasks) this.#answered(task)
    } catch (error) {
      if (!mine() || this.#over) return
      if (!mayPass(error)) {
        for (const id of ids) this.#refuse(id, asFleetError(error))
        return
      }
      this.#failures += 1
      for (const id of ids) this.#again.add(id)
      clearTimeout(this.#retryWatch)
      this.#retryWatch = setTimeout(() => {
        for (const id of this.#again) this.#change(id)
      }, this.#delay)
    }
  }

  #answered({ id, error }: WatchedTask): void {
    if (error !== undefined) {
      // `GONE` answers a request that another one has replaced.
      if (error.code !== 'GONE') this.#refuse(id, receivedError(error))
      return
    }
    for (const { listener } of this.#of(id)) listener.live(this.#via)
  }

  #refuse(id: string, error: FleetError): void {
    this.#told.delete(id)
    const watchers = this.#of(id)
    this.#forget(id)
    for (const { listener } of watchers) listener.refused(error)
  }

  #of(id: string): Watcher[] {
    return [...(this.#watchers.get(id) ?? [])]
  }

  async #open(): Promise<void> {
    if (this.#opening || this.#over || this.connected) return
    this.#opening = true
    clearTimeout(this.#retry)
    this.#retry = undefined
    this.#error = undefined
    try {
      await this.#reach()
    } catch (error) {
      if (!this.#over) this.#failed(asFleetError(error))
    } finally {
      this.#opening = false
    }
    // Watchers may have come while the last try failed for others.
    if (!this.#over && !this.connected && this.#retry === undefined && this.#watchers.size > 0) this.#tryLater()
  }

  #failed(error: FleetError): void {
    if (error.code === 'NO_HOST_SOCKET') {
      this.#isOld()
      return
    }
    this.#error = error
    for (const watchers of [...this.#watchers.values()])
      for (const { listener } of [...watchers]) listener.unreachable(error)
    this.#tryLater()
  }

  #tryLater(): void {
    this.#failures += 1
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => void this.#open(), this.#delay)
  }

  get #delay(): number {
    return Math.min(MOST_RETRY_MS, retryDelay(this.#failures))
  }

  /** Tries the ways one after the other, the one that worked last first. */
  async #reach(): Promise<void> {
    const ticket = await this.#ticket()
    if (ticket === undefined || this.#over) return
    const { token, url } = ticket
    const { reach, ownWorker } = this.#link
    const worker = this.#worker
    const ways: { name: string; via: 'direct' | 'relay'; socket: () => Socket }[] = []
    if (reach === 'direct') {
      const namespace = `/hosts/${worker}`
      if (ownWorker() === worker)
        ways.push({ name: 'own', via: 'direct', socket: () => this.#link.namespace(namespace, token) })
      else if (url !== undefined && isReachable(url))
        ways.push({ name: 'direct', via: 'direct', socket: () => this.#direct(url, token) })
    }
    const relay = `/relay/hosts/${worker}`
    ways.push({ name: 'relay', via: 'relay', socket: () => this.#link.namespace(relay, token) })
    ways.sort((a, b) => Number(b.name === this.#good) - Number(a.name === this.#good))
    let failed: unknown
    for (const { name, via, socket } of ways) {
      if (this.#over) return
      try {
        await this.#connect(socket() as HostSocket, via)
        this.#good = name
        return
      } catch (error) {
        if ((error as FleetError).code === 'NO_HOST_SOCKET') throw error
        failed = error
      }
    }
    throw failed
  }

  #direct(url: string, token: string): Socket {
    const { uri, path } = serverOf(url)
    return io(uri, {
      path,
      auth: { token },
      // The content policy of a page allows only websockets to other hosts.
      transports: isPage ? ['websocket'] : this.#link.transports(),
      tryAllTransports: true,
      forceNew: true,
      reconnection: false,
      timeout: CONNECT_MS,
    })
  }

  /** A ticket for this host, by any of its tasks. Tasks that give none are refused. @returns undefined if none gives one */
  async #ticket(): Promise<HostTicketAnswer | undefined> {
    for (const id of [...this.#watchers.keys()].slice(0, TICKETS_AT_ONCE)) {
      try {
        const ticket = await this.#link.hostTicket(id)
        if (ticket.worker === this.#worker) return ticket
        this.#refuse(id, new FleetError('TASK_NOT_HERE', 'The task runs at another host'))
      } catch (thrown) {
        const error = asFleetError(thrown)
        // A gateway of an earlier version does not know the message. An id that is none has a code of its own.
        if (error.code === 'BAD_REQUEST') throw new FleetError('NO_HOST_SOCKET', error.message, { cause: error })
        if (!OF_TASK.has(error.code)) throw error
        this.#refuse(id, error)
      }
    }
    return undefined
  }

  #connect(socket: HostSocket, via: 'direct' | 'relay'): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (code: string, message: string): void => {
        clearTimeout(timer)
        socket.removeAllListeners()
        socket.disconnect()
        reject(new FleetError(code, message))
      }
      const timer = setTimeout(() => fail('UNREACHABLE', 'no answer in time'), ADMIT_MS)
      socket.removeAllListeners()
      socket.once('connect', () => {
        clearTimeout(timer)
        socket.removeAllListeners()
        if (this.#over) {
          socket.disconnect()
          resolve()
          return
        }
        this.#opened(socket, via)
        resolve()
      })
      socket.once('connect_error', (error: Error & { data?: { code?: string } }) => {
        const isOld = error.message === 'Invalid namespace'
        fail(isOld ? 'NO_HOST_SOCKET' : (error.data?.code ?? 'UNREACHABLE'), error.message)
      })
      socket.once('disconnect', () => fail('UNREACHABLE', 'the connection was lost'))
    })
  }

  #opened(socket: HostSocket, via: 'direct' | 'relay'): void {
    this.#socket = socket
    this.#via = via
    this.#told.clear()
    this.#changed.clear()
    socket.on('tasksProgress', ({ tasks }) => {
      for (const { id, attempt, progress } of tasks)
        for (const { listener } of this.#of(id)) listener.progress(progress, attempt)
    })
    socket.on('taskLines', ({ id, attempt, lines }) => {
      for (const { listener, wants } of this.#of(id))
        if (wants.logs) for (const line of lines) listener.log(line, attempt)
    })
    socket.on('taskEvent', ({ id, attempt: _, ...event }) => {
      for (const { listener, wants } of this.#of(id)) if (wants.events) listener.event(event)
    })
    socket.on('taskDropped', ({ id, lines, events }) => {
      for (const { listener } of this.#of(id)) listener.dropped({ lines, events })
    })
    socket.on('taskEnd', ({ id, attempt: _, partial = false, ...end }) => {
      this.#told.delete(id)
      const watchers = this.#of(id)
      this.#forget(id)
      for (const { listener } of watchers) listener.end(end, partial)
    })
    socket.on('disconnect', () => {
      // Also of a namespace on the gateway's connection, which would otherwise connect again by itself.
      socket.removeAllListeners()
      socket.disconnect()
      if (this.#over || this.#socket !== socket) return
      this.#socket = undefined
      this.#failed(new FleetError('UNREACHABLE', 'the connection was lost'))
    })
    for (const id of this.#watchers.keys()) this.#change(id)
  }

  async #ask<T = object>(event: keyof ClientToHost, request: object): Promise<T> {
    const emit = this.#socket!.timeout(ANSWER_MS) as unknown as {
      emitWithAck(event: string, request: unknown): Promise<Ack<object>>
    }
    const answer = await emit.emitWithAck(event, request).catch((error: unknown) => {
      throw new FleetError('NO_ANSWER', 'The host did not answer in time', { cause: error })
    })
    if (!answer.ok) throw receivedError(answer.error)
    return answer as unknown as T
  }
}

function wantsOf(watchers: ReadonlySet<Watcher>): Wants {
  const all = [...watchers]
  return { logs: all.some(({ wants }) => wants.logs), events: all.some(({ wants }) => wants.events) }
}

function portions(ids: readonly string[]): string[][] {
  const portions: string[][] = []
  for (let at = 0; at < ids.length; at += AT_ONCE) portions.push(ids.slice(at, at + AT_ONCE))
  return portions
}

const asFleetError = (error: unknown): FleetError =>
  error instanceof FleetError
    ? error
    : new FleetError('UNREACHABLE', error instanceof Error ? error.message : String(error), { cause: error })
