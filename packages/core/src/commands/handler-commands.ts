import type { HandlerRow } from '@taskfleet/protocol'
import { isUnlimited, reaches } from '../auth/reach.ts'
import { Commands } from './commands.ts'

/** What workers can run. */
export class HandlerCommands extends Commands<'handlers'> {
  /** A limited key learns of its own queues and names alone. */
  async list(): Promise<HandlerRow[]> {
    const { principal } = this
    const rows = await this.parts.handlers.list()
    if (isUnlimited(principal)) return rows
    return rows
      .filter(({ name, queues }) => queues.some((queue) => reaches(principal, { queue, name })))
      .map((row) => ({ ...row, queues: row.queues.filter((queue) => principal.queues?.includes(queue)) }))
  }
}
