import { type AuditEntry, FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { requireReach } from '../auth/reach.ts'
import { parseId } from '../task/parse-value.ts'
import { Commands } from './commands.ts'

/** The audit log. */
export class AuditCommands extends Commands<'store'> {
  /** The latest first. @throws {FleetError} `FORBIDDEN` without an id; `BAD_ID`, `NOT_FOUND`, `QUEUE_NOT_ALLOWED`, … */
  async list({ id, limit }: { id?: string; limit?: number }): Promise<AuditEntry[]> {
    if (id === undefined) {
      this.requireUnlimited('read the whole audit log')
      return this.parts.audit.list(given({ limit }))
    }
    const task = await this.parts.store.find(parseId(id))
    if (task === null) throw new FleetError('NOT_FOUND', 'There is no such task', { field: 'id' })
    requireReach(this.principal, task)
    return this.parts.audit.list({ task: task._id, ...given({ limit }) })
  }
}
