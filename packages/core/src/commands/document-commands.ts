import type { SetAsideRow } from '@taskfleet/protocol'
import { Commands } from './commands.ts'

/** Malformed documents that were set aside; they were changed by hand. */
export class DocumentCommands extends Commands<'gate'> {
  /** The oldest first. @throws {FleetError} `FORBIDDEN` */
  async list(): Promise<SetAsideRow[]> {
    this.requireUnlimited('read set-aside documents')
    return (await this.parts.gate.setAside.list()).map(({ at, ...rest }) => ({ ...rest, at: at.toISOString() }))
  }
}
