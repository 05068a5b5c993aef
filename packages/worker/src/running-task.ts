import { asError } from '@taskfleet/core'
import {
  asText,
  type Claim,
  type Naming,
  type Report,
  type StoredProgress,
  toFullRow,
  toTaskError,
} from '@taskfleet/core/internal'
import type { AttemptWatcher } from '@taskfleet/gateway'
import {
  type AbortCode,
  AttemptAborted,
  FleetError,
  type LogLevel,
  type LogLine,
  type Progress,
  type TaskEnd,
  type TaskRow,
} from '@taskfleet/protocol'
import { cutText, given, keepValue, maskSecrets, type ReportedProgress } from '@taskfleet/protocol/internal'
import type { Logger } from 'pino'
import { AttemptBoundary } from './boundary/attempt-boundary.ts'
import type { StallWatch } from './stall-watch.ts'
import { formsOf } from './task-secrets.ts'

const LOG_LINES = 200
/** The most lines of an attempt that are stored, and that wait to be stored. */
const STORED_LINES = 10_000
const PENDING_LINES = 1_000
const LOG_LINE_LIMIT = 4_000
/** How much of a line is searched for secrets: more than is kept, so that a secret at the cut is found whole. */
const LOOKED_AT = 2 * LOG_LINE_LIMIT

/** One running attempt: its latest reports and its watchers. Independent of sockets and the database. */
export class RunningTask {
  readonly claim: Claim
  readonly id: string
  readonly leaseId: string
  /** The session on which its lease rests. */
  readonly session: string
  /** The boundary within which all code of the handler runs. */
  readonly boundary: AttemptBoundary
  readonly #errors: Logger | undefined
  readonly #controller = new AbortController()
  readonly signal: AbortSignal = this.#controller.signal
  /** Whether its turn has come. A worker may hold tasks for which it has no slot yet. */
  began = false
  /** When its handler began or, until then, when it was claimed, by `performance.now()`. */
  beganAt = performance.now()
  /** Whether it has saved a checkpoint other than the one that it started from. */
  checkpointMoved = false
  readonly #watchers = new Set<AttemptWatcher>()
  readonly #answers = new Map<string, (data: unknown) => unknown>()
  readonly #log: LogLine[] = []
  /** Whether its handler still runs, after its slot was freed because it ignores its signal. */
  goesOn = false
  #logSeq = 0
  #unstoredLog: LogLine[] = []
  #storedLines = 0
  #droppedLines = 0
  #publishedLogSeq = 0
  #progress: ReportedProgress | undefined
  #progressAt = 0
  #unpublished = false
  #unstored = false
  /** Whether this attempt has reported progress. */
  #reported = false
  /** A title and labels from its handler, for a task that has none. */
  naming: Naming | undefined
  #named = false
  #end: TaskEnd | undefined
  /** Its handler has ended, and its outcome is being recorded. */
  settling = false
  #stall: StallWatch | undefined
  #hidden: readonly string[] = []

  /** @param errors logs errors outside the attempt */
  constructor(claim: Claim, errors?: Logger) {
    this.claim = claim
    this.id = claim.task._id.toHexString()
    this.leaseId = claim.leaseId
    this.session = claim.task.lease?.session ?? ''
    this.#errors = errors
    this.boundary = new AttemptBoundary({
      onLeak: (failure) => this.#abort(failure),
      onLate: (err) =>
        errors?.error(
          { err: toTaskError(err, this.readable), task: this.id, name: claim.task.name },
          'an uncaught error of a handler; it came too late to change the outcome',
        ),
    })
    const { progress } = claim.task
    if (progress !== undefined) {
      const { at, ...update } = progress
      this.#progress = update
      this.#progressAt = at.getTime()
    }
  }

  /** From now on these values are masked in all reports of the attempt. */
  hide(values: readonly string[]): void {
    this.#hidden = formsOf(values)
  }

  /** Masks the secrets of the input in a text, and everything that looks like a secret. */
  readonly readable = (text: string): string =>
    maskSecrets(this.#hidden.reduce((shown, secret) => shown.replaceAll(secret, '***'), text))

  holdsSecret(bytes: Buffer): boolean {
    return this.#hidden.some((secret) => bytes.includes(secret))
  }

  begin(): void {
    this.began = true
    this.beganAt = performance.now()
  }

  /** The first reason counts. */
  abort(code: AbortCode, message: string): void {
    this.#abort(new AttemptAborted(code, message))
  }

  /** An error in a listener of the signal is the attempt's own error. */
  #abort(reason: AttemptAborted): void {
    if (!this.signal.aborted) this.boundary.within(() => this.#controller.abort(reason))
  }

  movedCheckpoint(): void {
    this.checkpointMoved = true
    this.#stall?.noticed()
  }

  /** Notifies the watch of progress and checkpoints from now on. */
  followNews(stall: StallWatch): void {
    this.#stall = stall
  }

  /** Waiting for the database does not count as a stall. */
  whileSaving<T>(saving: Promise<T>): Promise<T> {
    return this.#stall?.hold(saving) ?? saving
  }

  /** Only keeps the update. `publish` and `takeReport` pass it on at their own rate, so frequent calls are cheap. */
  progress(update: ReportedProgress): void {
    this.#stall?.reported(update)
    this.#progress = update
    this.#reported = true
    this.#progressAt = Date.now()
    this.#unpublished = true
    this.#unstored = true
  }

  log(level: LogLevel, message: string): void {
    this.#logSeq += 1
    const line = {
      seq: this.#logSeq,
      at: new Date().toISOString(),
      level,
      message: cutText(this.readable(cutText(asText(message), LOOKED_AT)), LOG_LINE_LIMIT),
    }
    this.#log.push(line)
    if (this.#log.length > LOG_LINES) this.#log.shift()
    if (this.#storedLines >= STORED_LINES || this.#unstoredLog.length >= PENDING_LINES) this.#droppedLines += 1
    else {
      this.#storedLines += 1
      this.#unstoredLog.push(line)
    }
  }

  /** The lines that are not stored yet. The last time, a line says how many were dropped. */
  takeLog({ last = false }: { last?: boolean } = {}): LogLine[] {
    if (last && this.#droppedLines > 0) {
      const message = `${this.#droppedLines} lines were dropped: too many were logged`
      this.#unstoredLog.push({ seq: this.#logSeq + 1, at: new Date().toISOString(), level: 'warn', message })
      this.#droppedLines = 0
    }
    return this.#unstoredLog.splice(0)
  }

  /** Lines that could not be stored are stored with the next ones. */
  giveBackLog(lines: readonly LogLine[]): void {
    this.#unstoredLog.unshift(...lines)
  }

  event(name: string, data: unknown): void {
    this.#toWatchers((watcher) => watcher.event({ name, data }))
  }

  onMessage(name: string, answer: (data: unknown) => unknown): () => void {
    this.#answers.set(name, answer)
    return () => {
      if (this.#answers.get(name) === answer) this.#answers.delete(name)
    }
  }

  /**
   * @throws {FleetError} `NO_SUCH_MESSAGE` when the handler doesn't listen for it; `BAD_ANSWER`, `ANSWER_TOO_LARGE` when its
   *   answer can't be sent
   */
  async message(name: string, data: unknown): Promise<unknown> {
    const answer = this.#answers.get(name)
    if (answer === undefined)
      throw new FleetError('NO_SUCH_MESSAGE', `This task does not accept the message '${name}'`, { field: 'name' })
    const answered = await this.boundary
      .within(async () => answer(data))
      .catch((error: unknown) => Promise.reject(this.#masked(error)))
    return answered === undefined ? undefined : keepValue(answered, 'answer')
  }

  /** What a handler threw, without secrets. */
  #masked(thrown: unknown): Error {
    const { message, name, stack } = toTaskError(thrown, this.readable)
    const { code, field } = thrown instanceof FleetError ? thrown : {}
    const error = code === undefined ? new Error(message) : new FleetError(code, message, given({ field }))
    return Object.assign(error, { name, stack: stack ?? '' })
  }

  /** Returns its undo. */
  watch(watcher: AttemptWatcher): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  snapshot(): { task: TaskRow; progress: Progress | null; log: LogLine[] } {
    return { task: toFullRow<TaskRow>('tasks', this.claim.task), progress: this.#wireProgress(), log: [...this.#log] }
  }

  /** Sends new progress to the watchers. Called a few times a second. */
  publish(): void {
    if (this.#watchers.size === 0) {
      this.#publishedLogSeq = this.#logSeq
      return
    }
    if (this.#unpublished) {
      this.#unpublished = false
      const progress = this.#wireProgress()!
      this.#toWatchers((watcher) => watcher.progress(progress))
    }
    for (const line of this.#log) {
      if (line.seq > this.#publishedLogSeq) this.#toWatchers((watcher) => watcher.log(line))
    }
    this.#publishedLogSeq = this.#logSeq
  }

  /** The progress that the database doesn't have yet. */
  /** What is to be stored: new progress, and once the names from its handler. */
  takeReport(): Omit<Report, 'id' | 'leaseId'> | undefined {
    const naming = this.#named ? undefined : this.naming
    const progress = this.#unstored ? this.lastProgress : undefined
    if (naming === undefined && progress === undefined) return undefined
    this.#unstored = false
    this.#named = true
    return given({ naming, progress })
  }

  /** A report that could not be stored is stored the next time, with the progress of then. */
  giveBackReport({ naming, progress }: Omit<Report, 'id' | 'leaseId'>): void {
    this.#unstored ||= progress !== undefined
    this.#named &&= naming === undefined
  }

  /** The last progress of this attempt, which is stored with its end. */
  get lastProgress(): StoredProgress | undefined {
    return this.#reported ? { ...this.#shownProgress(), at: new Date(this.#progressAt) } : undefined
  }

  end(end: TaskEnd): void {
    if (this.#end !== undefined) return
    this.publish()
    this.#end = end
    this.#toWatchers((watcher) => watcher.end(end))
    this.#watchers.clear()
  }

  /** A watcher that throws affects neither the attempt nor the other watchers. */
  #toWatchers(notify: (watcher: AttemptWatcher) => void): void {
    for (const watcher of this.#watchers) {
      try {
        notify(watcher)
      } catch (error) {
        this.#errors?.warn({ err: asError(error), task: this.id }, 'a watcher could not be notified')
      }
    }
  }

  #wireProgress(): Progress | null {
    if (this.#progress === undefined) return null
    return { ...this.#shownProgress(), at: new Date(this.#progressAt).toISOString() }
  }

  /** Masks secrets only when progress is passed on: there may be a million reports. */
  #shownProgress(): ReportedProgress {
    const { message, unit, ...amounts } = this.#progress ?? {}
    return {
      ...amounts,
      ...(unit === undefined ? {} : { unit: this.readable(unit) as NonNullable<ReportedProgress['unit']> }),
      ...(message === undefined ? {} : { message: this.readable(message) }),
    }
  }
}
