import { FleetError, hasEnded, type LogLine, type Progress, type TaskEnd, type TaskRow } from '@taskfleet/protocol'
import type { FollowedTask, WatchListeners, WatchSource } from './api.ts'
import type { AttemptLine, AttemptListener, RunningAttempt, Wants } from './attempt-line.ts'
import { retryDelay } from './retry-delay.ts'

interface Link {
  follow(task: RunningAttempt, listener: AttemptListener, wants: Wants): AttemptLine
  /** Whether the client's gateway is at this worker. */
  isOwnWorker(worker: string): boolean
  cancel(reason?: string): Promise<void>
  closed(): void
}

/** The longest time until a task that was refused is tried again. */
const MOST_RETRY_MS = 10_000

/**
 * Follows one task through its attempts. The task's row names the worker that runs it. Details come from that worker, directly or through
 * the relay. If it does not listen, they are those of the row.
 */
export class TaskFollower implements FollowedTask {
  readonly #listeners: WatchListeners
  readonly #link: Link
  readonly #onClose: (() => void)[] = []
  #source: WatchSource = { state: 'connecting' }
  #task: TaskRow | undefined
  /** The attempt and the worker that are followed, or about to be. */
  #followed: { attempt: number; worker: string | undefined } | undefined
  #line: AttemptLine | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  /** How often in a row the host had nothing to report about the attempt. */
  #refusals = 0
  #lastLogSeq = 0
  /** The attempt whose lines `#lastLogSeq` counts. They are numbered from 1 in each attempt. */
  #loggedAttempt: number | undefined
  /** When the latest progress was reported, by the clock of its host. */
  #progressAt: string | undefined
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
      if (task.attempt !== this.#followed?.attempt || task.worker !== this.#followed.worker) this.#follow(task)
      this.#showStored()
      return
    }
    this.#hangUp()
    if (!hasEnded(task.status)) {
      // It may run again, after a retry for example.
      this.#ended = false
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
    if (this.#line === undefined) throw new FleetError('NOT_CONNECTED', 'The host of the task is not connected')
    return this.#line.message(name, data)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#hangUp()
    for (const act of this.#onClose) act()
    this.#link.closed()
  }

  #follow(task: TaskRow, { again = false } = {}): void {
    const { _id: id, attempt, worker, publicUrl } = task
    this.#hangUp()
    this.#followed = { attempt, worker }
    if (!again) {
      this.#progressAt = undefined
      this.#refusals = 0
    }
    if (publicUrl === undefined && (worker === undefined || !this.#link.isOwnWorker(worker))) {
      this.#setSource({ state: 'stored' })
      return
    }
    if (!again) this.#setSource({ state: 'connecting', ...(publicUrl === undefined ? {} : { publicUrl }) })
    let over = false
    const mine = (): boolean => !this.#closed && !over
    const listener: AttemptListener = {
      live: (via) => {
        if (!mine()) return
        this.#refusals = 0
        this.#setSource({ state: 'live', via, publicUrl: publicUrl ?? '' })
      },
      progress: (progress) => mine() && this.#showProgress(progress),
      log: (line, of) => mine() && this.#logLine(line, of),
      event: (event) => mine() && this.#listeners.onEvent?.(event),
      dropped: (dropped) => mine() && this.#listeners.onDropped?.(dropped),
      end: (end, partial) => {
        if (!mine()) return
        // The row with the next status is on its way. Without it, the row also has the output that was left out.
        if (hasEnded(end.status) && !partial) this.#end(end)
        this.#setSource({ state: this.#ended ? 'ended' : 'waiting' })
        if (!this.#ended) this.#tryLater()
      },
      unreachable: (error) => mine() && this.#unreachable(error),
      refused: (error) => {
        if (!mine()) return
        this.#unreachable(error)
        this.#tryLater()
      },
    }
    const wants = { logs: this.#listeners.onLog !== undefined, events: this.#listeners.onEvent !== undefined }
    const line = this.#link.follow({ id, attempt, worker, publicUrl }, listener, wants)
    this.#line = line
    this.#leave = () => {
      over = true
      line.close()
    }
  }

  #leave: () => void = () => undefined

  #unreachable(error: FleetError): void {
    if (this.#task?.status !== 'running') return
    this.#setSource({ state: 'unreachable', publicUrl: this.#task.publicUrl ?? '', reason: error.message })
    this.#showStored()
  }

  /** While nothing comes from the host, the stored progress is the latest. */
  #showStored(): void {
    const { state } = this.#source
    const stored = this.#task?.progress
    if ((state === 'stored' || state === 'unreachable') && stored !== undefined) this.#showProgress(stored)
  }

  #showProgress(progress: Progress): void {
    if (this.#progressAt !== undefined && progress.at < this.#progressAt) return
    const isKnown = progress.at === this.#progressAt && this.#source.state !== 'live'
    this.#progressAt = progress.at
    if (!isKnown) this.#listeners.onProgress?.(progress)
  }

  #tryLater(): void {
    this.#refusals += 1
    clearTimeout(this.#retry)
    this.#retry = setTimeout(
      () => {
        if (!this.#closed && this.#task?.status === 'running') this.#follow(this.#task, { again: true })
      },
      Math.min(MOST_RETRY_MS, retryDelay(this.#refusals)),
    )
  }

  #logLine(line: LogLine, attempt: number): void {
    if (this.#loggedAttempt !== attempt) this.#lastLogSeq = 0
    this.#loggedAttempt = attempt
    if (line.seq <= this.#lastLogSeq) return
    this.#lastLogSeq = line.seq
    this.#listeners.onLog?.(line)
  }

  /** Reports the end once: from the host with the output, or from the row. */
  #end(end: TaskEnd): void {
    if (this.#ended) return
    this.#ended = true
    this.#listeners.onEnd?.(end)
  }

  #hangUp(): void {
    clearTimeout(this.#retry)
    this.#followed = undefined
    this.#line = undefined
    this.#leave()
    this.#leave = () => undefined
  }

  #setSource(source: WatchSource): void {
    if (JSON.stringify(source) === JSON.stringify(this.#source)) return
    this.#source = source
    this.#listeners.onSource?.(source)
  }
}
