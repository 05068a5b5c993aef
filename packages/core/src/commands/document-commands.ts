import type { SetAsideRow } from '@taskfleet/protocol'
import { Commands } from './commands.ts'

/** Documents that don't fit: somebody has changed them by hand. */
export class DocumentCommands extends Commands<'gate'> {
  /** The oldest first. @throws {FleetError} `FORBIDDEN` */
  async list(): Promise<SetAsideRow[]> {
    this.requireUnlimited('read what is set aside')
    return (await this.parts.gate.setAside.list()).map(({ at, ...rest }) => ({ ...rest, at: at.toISOString() }))
  }
}
