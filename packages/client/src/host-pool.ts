import type { TicketAnswer } from '@taskfleet/protocol'
import { FleetError } from '@taskfleet/protocol'
import type { AttemptLine, AttemptListener, RunningAttempt, Wants } from './attempt-line.ts'
import { HostConnection, type HostLink, type Watcher } from './host-connection.ts'
import { TaskSocketLine } from './task-socket-line.ts'

interface PoolLink extends HostLink {
  taskTicket(id: string): Promise<TicketAnswer>
}

/** How long a host counts as one of an earlier version. Then it, or the gateway, may have been replaced. */
const OLD_MS = 60_000

/** The connections of a client to hosts: one for each, for all tasks that the client watches there. */
export class HostPool {
  readonly #link: PoolLink
  readonly #hosts = new Map<string, HostConnection>()
  /** Hosts of an earlier version, with the time at which they are tried again. */
  readonly #old = new Map<string, number>()
  readonly #lines = new Map<Watcher, PooledLine>()

  constructor(link: PoolLink) {
    this.#link = link
  }

  /** How many connections to hosts are kept. */
  get size(): number {
    return this.#hosts.size
  }

  follow(task: RunningAttempt, listener: AttemptListener, wants: Wants): AttemptLine {
    const { worker } = task
    if (worker === undefined || (this.#old.get(worker) ?? 0) > performance.now()) return this.#single(task, listener)
    const host = this.#hosts.get(worker) ?? this.#connect(worker)
    const watcher = { listener, wants }
    const line = new PooledLine(task, watcher, host, () => this.#lines.delete(watcher))
    this.#lines.set(watcher, line)
    host.add(task.id, watcher)
    return line
  }

  close(): void {
    for (const host of [...this.#hosts.values()]) host.close()
  }

  #single({ id, attempt }: RunningAttempt, listener: AttemptListener): AttemptLine {
    const { reach } = this.#link
    return new TaskSocketLine({ id, attempt }, listener, {
      reach,
      transports: () => this.#link.transports(),
      ticket: (of) => this.#link.taskTicket(of),
    })
  }

  #connect(worker: string): HostConnection {
    const host: HostConnection = new HostConnection(worker, this.#link, {
      isOld: () => {
        this.#old.set(worker, performance.now() + OLD_MS)
        const watchers = host.takeWatchers()
        host.close()
        for (const [, watcher] of watchers) {
          const line = this.#lines.get(watcher)
          line?.replace(this.#single(line.task, watcher.listener))
        }
      },
      closed: () => {
        if (this.#hosts.get(worker) === host) this.#hosts.delete(worker)
      },
    })
    this.#hosts.set(worker, host)
    return host
  }
}

class PooledLine implements AttemptLine {
  readonly task: RunningAttempt
  readonly #watcher: Watcher
  readonly #host: HostConnection
  readonly #left: () => void
  #single: AttemptLine | undefined
  #closed = false

  constructor(task: RunningAttempt, watcher: Watcher, host: HostConnection, left: () => void) {
    this.task = task
    this.#watcher = watcher
    this.#host = host
    this.#left = left
  }

  get connected(): boolean {
    return !this.#closed && (this.#single ?? this.#host).connected
  }

  async message(name: string, data?: unknown): Promise<unknown> {
    if (!this.connected) throw new FleetError('NOT_CONNECTED', "The task's socket is not open")
    return this.#single === undefined ? this.#host.message(this.task.id, name, data) : this.#single.message(name, data)
  }

  /** Goes on with a socket of its own. */
  replace(line: AttemptLine): void {
    this.#single = line
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#left()
    this.#single?.close()
    this.#host.remove(this.task.id, this.#watcher)
  }
}
