import type { Claim } from '@taskfleet/core/internal'

/** The lease of a task in its runner. */
export interface LeaseView {
  /** Whether the lease can still be proved by the monotonic clock. */
  trusted(): boolean
  /** Resolves when it is proved; rejects when it is lost. */
  proven(): Promise<void>
  /** Reads the database; `false` when this attempt does not own the task any more. */
  confirm(): Promise<boolean>
}

/** One claimed task, for the time of one attempt. */
export class Task {
  /** Hex; the same in every attempt, so it serves as an idempotency key. */
  readonly id: string
  readonly name: string
  /** The claim's number, from 1. */
  readonly attempt: number
  readonly queue: string
  readonly key: string | undefined
  readonly deadline: Date | undefined
  /** The worker that runs this attempt. */
  readonly worker: string
  /** New for every attempt; a side effect outside the database can be fenced by it. */
  readonly leaseId: string
  readonly #lease: LeaseView

  constructor({ task, leaseId }: Claim, lease: LeaseView) {
    this.id = task._id.toHexString()
    this.name = task.name
    this.attempt = task.attempt
    this.queue = task.queue
    this.key = task.key
    this.deadline = task.deadline
    this.worker = task.worker ?? ''
    this.leaseId = leaseId
    this.#lease = lease
  }

  /** Whether this attempt may start side effects now: false while the database is away. Cheap. */
  get owned(): boolean {
    return this.#lease.trusted()
  }

  /**
   * Resolves when this attempt is known to own its task: usually at once, in an outage when the database answers again. Call it before
   * a side effect that must not happen twice.
   *
   * @throws {AttemptAborted} `LEASE_LOST` when the attempt has lost the task, and the reason of `signal` when that is aborted
   */
  proven(): Promise<void> {
    return this.#lease.proven()
  }

  /** Reads in the database whether this attempt still owns the task. For use before an effect that can't be undone. */
  confirmOwned(): Promise<boolean> {
    return this.#lease.confirm()
  }
}
