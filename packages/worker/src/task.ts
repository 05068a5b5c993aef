import type { Claim } from '@taskfleet/core/internal'

/** What a `Task` asks of the runner that holds its lease. */
export interface LeaseView {
  /** Whether the lease can still be proved by the monotonic clock. */
  trusted(): boolean
  /** Resolves when it is proved; rejects when it is lost. */
  proven(): Promise<void>
  /** Asks the database; `false` when another worker or nobody owns the task now. */
  confirm(): Promise<boolean>
}

/** One claimed task, for the time of one attempt. */
export class Task {
  readonly #claim: Claim
  readonly #lease: LeaseView

  constructor(claim: Claim, lease: LeaseView) {
    this.#claim = claim
    this.#lease = lease
  }

  /** Hex; the same in every attempt, so it serves as an idempotency key. */
  get id(): string {
    return this.#claim.task._id.toHexString()
  }

  get name(): string {
    return this.#claim.task.name
  }

  /** The claim's number, from 1. */
  get attempt(): number {
    return this.#claim.task.attempt
  }

  get queue(): string {
    return this.#claim.task.queue
  }

  get key(): string | undefined {
    return this.#claim.task.key
  }

  get deadline(): Date | undefined {
    return this.#claim.task.deadline
  }

  /** The worker that runs this attempt. */
  get worker(): string {
    return this.#claim.task.worker ?? ''
  }

  /** New for every attempt; a side effect outside the database can be fenced by it. */
  get leaseId(): string {
    return this.#claim.leaseId
  }

  /** Whether this attempt may start side effects now: false while the database is away. Costs nothing. */
  get owned(): boolean {
    return this.#lease.trusted()
  }

  /**
   * Waits until this attempt is known to own its task: at once as a rule, and while the database is away until it answers again.
   * Call it before a side effect that must not happen twice.
   *
   * @throws {AttemptAborted} `LEASE_LOST` when the task is another worker's by now, and the reason of `signal` when it is aborted
   */
  proven(): Promise<void> {
    return this.#lease.proven()
  }

  /** Asks the database whether this attempt still owns the task: before an effect that can't be taken back. */
  confirmOwned(): Promise<boolean> {
    return this.#lease.confirm()
  }
}
