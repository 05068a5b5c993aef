import { sizeOf } from '@taskfleet/core/internal'
import type { DroppedMessages, TaskToClient } from '@taskfleet/protocol'
import { TASK_SENDS } from '@taskfleet/protocol/internal'
import type { Socket } from 'socket.io'
import type { Backlog } from './backlog.ts'

type FromTask = keyof TaskToClient

/** How many bytes of messages are kept for a watcher that is behind, besides those that are being sent. */
const WAITING_BYTES = 512 * 1024
/** How long a connection waits for answers after the end of its task. A handler may never answer. */
const LAST_ANSWERS_MS = 5_000

export type Answer = (answer: unknown) => void

interface Waiting {
  event: FromTask
  body: unknown
  bytes: number
}

export const isFromTask = (event: string): event is FromTask => Object.hasOwn(TASK_SENDS, event)

/**
 * What one watcher of a task is sent, as fast as it reads. For one that is behind, the latest progress and the newest lines
 * and events are kept. `dropped` says how many others there were.
 */
export class WatcherQueue {
  readonly #socket: Socket
  readonly #backlog: Backlog
  #waiting: Waiting[] = []
  #progress: unknown
  #dropped: DroppedMessages = { lines: 0, events: 0 }
  #catchingUp = false
  #finished = false
  readonly #unanswered = new Set<Answer>()

  constructor(socket: Socket, backlog: Backlog) {
    this.#socket = socket
    this.#backlog = backlog
  }

  send(event: FromTask, body: unknown): void {
    if (!this.#catchingUp && !this.#backlog.isBehind(this.#socket)) {
      this.#socket.emit(event, body)
      return
    }
    this.#keep(event, body)
    if (this.#catchingUp) return
    this.#catchingUp = true
    // Fails when the client has left.
    this.#catchUp().catch(() => undefined)
  }

  /** Keeps the connection open until a message is answered, even if the task ends before. */
  answering(answer: Answer): Answer {
    this.#unanswered.add(answer)
    return (given) => {
      answer(given)
      this.#unanswered.delete(answer)
      this.#leaveIfDone()
    }
  }

  /** Ends the connection to the task when everything has been sent and answered. */
  finish(): void {
    if (this.#finished) return
    this.#finished = true
    this.#leaveIfDone()
    setTimeout(() => {
      this.#unanswered.clear()
      this.#leaveIfDone()
    }, LAST_ANSWERS_MS).unref()
  }

  #leaveIfDone(): void {
    if (this.#finished && !this.#catchingUp && this.#unanswered.size === 0) this.#socket.disconnect()
  }

  #keep(event: FromTask, body: unknown): void {
    if (event === 'progress') this.#progress = body
    else if (event === 'dropped') this.#count(body as DroppedMessages)
    else this.#waiting.push({ event, body, bytes: sizeOf(body) })
    while (this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0) > WAITING_BYTES) {
      const oldest = this.#waiting.findIndex((one) => one.event === 'log' || one.event === 'event')
      if (oldest < 0) return
      const [{ event: dropped }] = this.#waiting.splice(oldest, 1) as [Waiting]
      this.#count({ lines: dropped === 'log' ? 1 : 0, events: dropped === 'event' ? 1 : 0 })
    }
  }

  #count({ lines, events }: DroppedMessages): void {
    this.#dropped.lines += lines
    this.#dropped.events += events
  }

  /** @throws {FleetError} `GONE` */
  async #catchUp(): Promise<void> {
    while (this.#waiting.length > 0 || this.#progress !== undefined || this.#anyDropped) {
      await this.#backlog.untilRead(this.#socket)
      this.#sendNext()
    }
    this.#catchingUp = false
    this.#leaveIfDone()
  }

  get #anyDropped(): boolean {
    return this.#dropped.lines > 0 || this.#dropped.events > 0
  }

  #sendNext(): void {
    if (this.#anyDropped) {
      this.#socket.emit('dropped', this.#dropped)
      this.#dropped = { lines: 0, events: 0 }
    }
    while (this.#waiting.length > 0 && !this.#backlog.isBehind(this.#socket)) {
      const { event, body } = this.#waiting.shift()!
      if (event === 'end') this.#sendProgress()
      this.#socket.emit(event, body)
    }
    if (this.#waiting.length === 0) this.#sendProgress()
  }

  #sendProgress(): void {
    if (this.#progress === undefined) return
    this.#socket.emit('progress', this.#progress)
    this.#progress = undefined
  }
}
