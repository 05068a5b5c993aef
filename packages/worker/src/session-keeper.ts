import {
  type Beat,
  type FleetDatabase,
  renewalUpdate,
  Service,
  sessionGuard,
  UnbrokenWrites,
  type WorkerRegister,
  type WorkerReport,
} from '@taskfleet/core/internal'
import { AttemptAborted } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import { monotonicMs } from './renew.js'
import { type Renewal, renewalOf } from './renewal.ts'
import type { RenewalReport } from './renewal-messages.ts'

export interface SessionKeeperOptions {
  database: FleetDatabase
  register: Pick<WorkerRegister, 'beat'>
  leaseMs: number
  /** How often it is renewed, in milliseconds. */
  everyMs: number
  log: Logger
  /** The worker as it is now. */
  report: () => WorkerReport
  /** Called after each renewal, with the request to the worker, such as to drain. */
  onRenewed: (beat: Beat) => void
  /** Called when the session can no longer be proved. It may be proved again. */
  onDoubt: () => void
  onProven: () => void
  /** Called when another process has ended the session. `open` makes the next one. */
  onDead: (session: string) => void
  /** How long the session is renewed while the event loop is blocked, in milliseconds. */
  maxBlockedMs?: number
}

/** The part of a lease before its end in which it is not trusted: clocks drift, and an abort takes time. */
const MARGIN = 1 / 10

/**
 * How long a call to the server may take, in milliseconds: a quarter of a lease, so that there is time for another try, but never so
 * short that a busy server counts as dead.
 */
export const timeoutFor = (leaseMs: number): number => Math.max(1_000, Math.min(5_000, leaseMs / 4))

/** Shows an attempt whether its session is still valid. */
export interface SessionView {
  /** Whether the session can be proved by the monotonic clock. */
  trusted(session: string): boolean
  /** Whether another process has ended it. Its tasks may be claimed by others. */
  isDead(session: string): boolean
  /**
   * Resolves when it is proved, at once while it is trusted.
   * @throws {AttemptAborted} `LEASE_LOST` when it has ended
   */
  proven(session: string): Promise<void>
}

type Waiting = { resolve: () => void; reject: (why: Error) => void }

/**
 * Keeps the session of this process alive with a thread. Whether the session is *trusted* depends on the monotonic clock alone: it
 * counts from the moment when the last acknowledged renewal was *sent*. After that it is in doubt, until a renewal proves it again or
 * finds that it has ended.
 */
export class SessionKeeper extends Service implements SessionView {
  readonly #options: SessionKeeperOptions
  readonly #renewal: Renewal
  readonly #writes = new UnbrokenWrites()
  readonly #waiting = new Set<Waiting>()
  #session: string | undefined
  #trustedUntil = Number.NEGATIVE_INFINITY
  #doubted = false

  constructor(options: SessionKeeperOptions) {
    super()
    this.#options = options
    const { database, leaseMs, everyMs, log, maxBlockedMs = 300_000 } = options
    this.#renewal = renewalOf({
      ...{ database, everyMs, log, maxBlockedMs },
      timeoutMs: timeoutFor(leaseMs),
      warnBlockedMs: Math.min(2_000, leaseMs / 2),
      onReport: (report) => this.#onReport(report),
    })
  }

  /** The current session, as far as this process knows. */
  get session(): string | undefined {
    return this.#session
  }

  protected override async onStart(): Promise<void> {
    await this.use(this.#renewal)
    const timer = setInterval(() => this.#check(), Math.min(250, this.#options.leaseMs / 12))
    this.defer(() => {
      clearInterval(timer)
      this.#rejectWaiting('The worker has stopped')
    })
  }

  /** Opens a session with this id. Claims from now on belong to it. */
  async open(session: string): Promise<void> {
    const sentAt = monotonicMs()
    const beat = await this.#options.register.beat(session, this.#options.report())
    if (beat === null) throw new AttemptAborted('LEASE_LOST', `The session ${session} has ended already`)
    this.#session = session
    this.#acknowledged(sentAt)
    this.#renewBy(session)
    this.#options.onRenewed(beat)
  }

  /**
   * Writes the state of the worker at once. Does nothing without a session.
   */
  async beat(): Promise<void> {
    const session = this.#session
    if (session === undefined) return
    const last = this.#options.report().state === 'stopped'
    // A renewal after this write would find the session ended.
    if (last) this.#renewal.order(null)
    const sentAt = monotonicMs()
    const beat = await this.#options.register.beat(session, this.#options.report())
    if (session !== this.#session) return
    if (last) this.#session = undefined
    else if (beat === null) this.#end(session)
    else {
      this.#acknowledged(sentAt)
      this.#options.onRenewed(beat)
    }
  }

  trusted(session: string): boolean {
    return this.trustedUntil(session) > monotonicMs()
  }

  /** Until when the session is trusted, by `monotonicMs()`; minus infinity when it has ended. */
  trustedUntil(session: string): number {
    this.#renewal.reportArrived()
    return session === this.#session ? this.#trustedUntil : Number.NEGATIVE_INFINITY
  }

  isDead(session: string): boolean {
    this.#renewal.reportArrived()
    return session !== this.#session
  }

  async proven(session: string): Promise<void> {
    if (this.trusted(session)) return
    if (this.isDead(session) || !this.isRunning) throw lost()
    await new Promise<void>((resolve, reject) => this.#waiting.add({ resolve, reject }))
    return this.proven(session)
  }

  /** How long renewals have been acknowledged without a gap of this length, in milliseconds. */
  unbrokenFor(gapMs: number): number {
    this.#renewal.reportArrived()
    return this.#writes.lastFor(gapMs, monotonicMs())
  }

  #renewBy(session: string): void {
    const { report, leaseMs } = this.#options
    this.#renewal.order({ filter: sessionGuard(session), update: renewalUpdate({ ...report(), leaseMs }), session })
  }

  #onReport(report: RenewalReport): void {
    if (report.error !== undefined) {
      void this.#onFailure(report.error)
      return
    }
    if (report.session !== this.#session) return
    if (report.beat === null) {
      this.#end(report.session)
      return
    }
    this.#acknowledged(report.sentAt, report.receivedAt)
    const { heartbeatAt, control } = report.beat
    const ago = monotonicMs()
    this.#options.database.clock.observe(
      heartbeatAt,
      performance.now() - (ago - report.sentAt),
      performance.now() - (ago - report.receivedAt),
    )
    // The next renewal reports the current state.
    this.#renewBy(report.session)
    this.#options.onRenewed(control === undefined ? {} : { control })
  }

  /** An outage of the database is logged once, elsewhere. */
  async #onFailure(reason: string): Promise<void> {
    const { database, log } = this.#options
    const quiet = this.#doubted || !(await database.availability.answers())
    log[quiet ? 'debug' : 'warn']({ reason }, 'the session could not be renewed')
  }

  #acknowledged(sentAt: number, receivedAt = monotonicMs()): void {
    this.#writes.acknowledged(receivedAt)
    this.#trustedUntil = Math.max(this.#trustedUntil, sentAt + this.#options.leaseMs * (1 - MARGIN))
    if (this.#trustedUntil <= monotonicMs()) return
    for (const { resolve } of this.#waiting) resolve()
    this.#waiting.clear()
    if (!this.#doubted) return
    this.#doubted = false
    this.#options.onProven()
  }

  #check(): void {
    this.#renewal.beat()
    this.#renewal.reportArrived()
    if (this.#session === undefined || this.#doubted || this.#trustedUntil > monotonicMs()) return
    this.#doubted = true
    this.#options.onDoubt()
  }

  #end(session: string): void {
    this.#session = undefined
    this.#trustedUntil = Number.NEGATIVE_INFINITY
    this.#doubted = false
    this.#renewal.order(null)
    this.#rejectWaiting('Its session was ended')
    this.#options.onDead(session)
  }

  #rejectWaiting(why: string): void {
    for (const { reject } of this.#waiting) reject(lost(why))
    this.#waiting.clear()
  }
}

const lost = (why = 'Its session has ended'): AttemptAborted =>
  new AttemptAborted('LEASE_LOST', `${why}: another worker may own this task by now`)
