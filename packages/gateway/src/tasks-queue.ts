import { sizeOf } from '@taskfleet/core/internal'
import type {
  HostToClient,
  LogLine,
  Progress,
  TaskDropped,
  TaskEvent,
  TasksProgress,
  WatchedEnd,
} from '@taskfleet/protocol'
import type { Socket } from 'socket.io'
import type { Backlog } from './backlog.ts'

/** How long reports are collected for one message. */
const WINDOW_MS = 50
/** How many bytes of lines, events and ends are kept for a client that is behind, besides those that are being sent. */
const WAITING_BYTES = 512 * 1024
/** A message with progress is not larger than this by more than one report. */
const PROGRESS_BYTES = 64 * 1024

type Reported = TasksProgress['tasks'][number]

interface Waiting {
  event: keyof HostToClient
  id: string
  body: unknown
  bytes: number
}

/**
 * What one client is sent about the tasks that it watches at a host, as fast as it reads. The latest progress of each task is kept, in
 * the order of the tasks' first unsent report, so that no task delays another. Of lines and events, the newest are kept; `taskDropped` says
 * how many others there were. An end is always sent, if need be without its output.
 */
export class TasksQueue {
  readonly #socket: Socket
  readonly #backlog: Backlog
  readonly #progress = new Map<string, Reported>()
  readonly #dropped = new Map<string, TaskDropped>()
  #waiting: Waiting[] = []
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  #sending = false

  constructor(socket: Socket, backlog: Backlog) {
    this.#socket = socket
    this.#backlog = backlog
  }

  progress(id: string, attempt: number, progress: Progress): void {
    this.#progress.set(id, { id, attempt, progress })
    this.#sendSoon()
  }

  lines(id: string, attempt: number, lines: readonly LogLine[]): void {
    // One entry for each line, so that the oldest can be dropped.
    for (const line of lines) this.#keep('taskLines', id, { id, attempt, lines: [line] })
  }

  event(event: TaskEvent): void {
    this.#keep('taskEvent', event.id, event)
  }

  dropped({ id, lines, events }: TaskDropped): void {
    const before = this.#dropped.get(id) ?? { id, lines: 0, events: 0 }
    this.#dropped.set(id, { id, lines: before.lines + lines, events: before.events + events })
    this.#sendSoon()
  }

  end(end: WatchedEnd): void {
    const last = this.#progress.get(end.id)
    this.#progress.delete(end.id)
    if (last !== undefined) this.#keep('tasksProgress', end.id, { tasks: [last] })
    this.#keep('taskEnd', end.id, end)
  }

  /** The task is no longer watched: nothing more is sent about it. */
  forget(id: string): void {
    this.#progress.delete(id)
    this.#dropped.delete(id)
    this.#waiting = this.#waiting.filter((one) => one.id !== id)
    this.#bytes = this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#progress.clear()
    this.#dropped.clear()
    this.#waiting = []
    this.#bytes = 0
  }

  #keep(event: keyof HostToClient, id: string, body: object): void {
    const bytes = sizeOf(body)
    this.#waiting.push({ event, id, body, bytes })
    this.#bytes += bytes
    if (this.#bytes > WAITING_BYTES && !this.#isBehind) this.#sendWaiting()
    while (this.#bytes > WAITING_BYTES && this.#shrink());
    this.#sendSoon()
  }

  /** @returns whether anything could be left out */
  #shrink(): boolean {
    const at = this.#waiting.findIndex(({ event, body }) => event !== 'tasksProgress' && !isBare(event, body))
    const entry = this.#waiting[at]
    if (entry === undefined) return false
    const { event, id, body, bytes } = entry
    this.#bytes -= bytes
    if (event === 'taskEnd') {
      const { output: _, ...end } = body as WatchedEnd
      const left = { ...end, partial: true as const }
      this.#waiting[at] = { event, id, body: left, bytes: sizeOf(left) }
      this.#bytes += sizeOf(left)
    } else {
      this.#waiting.splice(at, 1)
      this.dropped({ id, lines: event === 'taskLines' ? 1 : 0, events: event === 'taskEvent' ? 1 : 0 })
    }
    return true
  }

  #sendSoon(): void {
    if (this.#sending || this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      // Fails when the client has left.
      void this.#send().catch(() => undefined)
    }, WINDOW_MS)
  }

  /** @throws {FleetError} `GONE` */
  async #send(): Promise<void> {
    this.#sending = true
    try {
      while (this.#socket.connected && this.#any) {
        await this.#backlog.untilRead(this.#socket)
        this.#sendWaiting()
        if (this.#waiting.length === 0) this.#sendProgress()
      }
    } finally {
      this.#sending = false
    }
  }

  get #isBehind(): boolean {
    return this.#backlog.isBehind(this.#socket)
  }

  get #any(): boolean {
    return this.#waiting.length > 0 || this.#progress.size > 0 || this.#dropped.size > 0
  }

  #sendWaiting(): void {
    for (const dropped of this.#dropped.values()) this.#socket.emit('taskDropped', dropped)
    this.#dropped.clear()
    while (this.#waiting.length > 0 && !this.#isBehind) {
      const { event, id, body, bytes } = this.#waiting.shift()!
      this.#bytes -= bytes
      this.#socket.emit(event, event === 'taskLines' ? this.#withNext(id, body as LinesBody) : body)
    }
  }

  /** Lines of one task that follow each other are one message. */
  #withNext(id: string, { lines, ...rest }: LinesBody): LinesBody {
    const all = [...lines]
    for (let next = this.#waiting[0]; next?.event === 'taskLines' && next.id === id; next = this.#waiting[0]) {
      const body = next.body as LinesBody
      if (body.attempt !== rest.attempt || all.length >= LINES_AT_ONCE) break
      all.push(...body.lines)
      this.#bytes -= next.bytes
      this.#waiting.shift()
    }
    return { ...rest, lines: all }
  }

  #sendProgress(): void {
    while (this.#progress.size > 0 && !this.#isBehind) {
      const tasks: Reported[] = []
      for (let bytes = 0; this.#progress.size > 0 && bytes < PROGRESS_BYTES; ) {
        const [[id, reported]] = this.#progress as unknown as [[string, Reported]]
        this.#progress.delete(id)
        bytes += sizeOf(reported)
        tasks.push(reported)
      }
      this.#socket.emit('tasksProgress', { tasks })
    }
  }
}

const LINES_AT_ONCE = 50

interface LinesBody {
  id: string
  attempt: number
  lines: readonly LogLine[]
}

/** An end without output is never left out. */
const isBare = (event: keyof HostToClient, body: unknown): boolean =>
  event === 'taskEnd' && (body as WatchedEnd).output === undefined
