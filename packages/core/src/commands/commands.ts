import { FleetError } from '@taskfleet/protocol'
import type { Principal } from '../auth/key-store.ts'
import { requireUnlimited } from '../auth/reach.ts'
import type { Fleet } from '../fleet.ts'
import type { Deed } from '../history/audit-log.ts'

/** The base class of every aggregate's operations: it has the principal and the audit log. */
export abstract class Commands<Part extends keyof Fleet> {
  protected readonly parts: Pick<Fleet, Part | 'audit'>
  protected readonly principal: Principal

  constructor(parts: Pick<Fleet, Part | 'audit'>, principal: Principal) {
    this.parts = parts
    this.principal = principal
  }

  protected get by(): string {
    return this.principal.id
  }

  protected async record(action: string, deed: Omit<Deed, 'by' | 'action'>): Promise<void> {
    await this.parts.audit.record({ by: this.by, action, ...deed })
  }

  /** Rejects limited keys, for operations that belong to no single queue or name. @throws {FleetError} `FORBIDDEN` */
  protected requireUnlimited(deed: string): void {
    requireUnlimited(this.principal, deed)
  }
}

/** For `catch`: returns null for `NOT_FOUND`, and throws all other errors. */
export function unlessMissing(error: unknown): null {
  if (error instanceof FleetError && error.code === 'NOT_FOUND') return null
  throw error
}
