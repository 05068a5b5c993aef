import type { AuditLog } from './audit-log.ts'

/** At most one entry per key, operation and code in this time, so that repeated refusals can't flood the log. */
const QUIET_MS = 10_000
const REMEMBERED = 1_000

interface Refusal {
  by: string
  action: string
  /** The code of the error. */
  refused: string
}

/** Audits refusals. An entry's `matched` counts the refusals since the entry before. */
export class Refusals {
  readonly #audit: AuditLog
  readonly #now: () => number
  readonly #seen = new Map<string, { at: number; since: number }>()

  constructor(audit: AuditLog, now: () => number = () => performance.now()) {
    this.#audit = audit
    this.#now = now
  }

  async record({ by, action, refused }: Refusal): Promise<void> {
    const key = `${by} ${action} ${refused}`
    const now = this.#now()
    const seen = this.#seen.get(key)
    if (seen !== undefined && now - seen.at < QUIET_MS) {
      seen.since += 1
      return
    }
    this.#seen.delete(key)
    this.#seen.set(key, { at: now, since: 0 })
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value!)
    await this.#audit.record({ by, action, refused, matched: 1 + (seen?.since ?? 0), changed: 0 })
  }
}
