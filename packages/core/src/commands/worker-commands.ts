import { FleetError, type WorkerRow } from '@taskfleet/protocol'
import { toRow } from '../live/wire.ts'
import { Commands } from './commands.ts'

/** Workers and gateways. */
export class WorkerCommands extends Commands<'workers'> {
  async list(): Promise<WorkerRow[]> {
    return (await this.parts.workers.list()).map((found) => toRow<WorkerRow>('workers', found as never))
  }

  /** It takes nothing new; what runs goes on. @throws {FleetError} `NOT_FOUND`, `FORBIDDEN` */
  drain({ worker }: { worker: string }): Promise<WorkerRow> {
    return this.#ask(worker, 'drain')
  }

  /** @throws {FleetError} `NOT_FOUND`, `FORBIDDEN` */
  resume({ worker }: { worker: string }): Promise<WorkerRow> {
    return this.#ask(worker, 'resume')
  }

  async #ask(worker: string, action: 'drain' | 'resume'): Promise<WorkerRow> {
    this.requireUnlimited('touch workers')
    const asked = await this.parts.workers.ask(worker, action, this.by)
    const found = asked === null ? null : await this.parts.workers.find(worker)
    if (found === null) {
      throw new FleetError('NOT_FOUND', 'There is no such worker, or it has stopped', { field: 'worker' })
    }
    await this.record(`worker ${action}`, { target: worker, changed: 1 })
    return toRow<WorkerRow>('workers', found as never)
  }
}
