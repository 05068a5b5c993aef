import { FleetError, type WorkerRow } from '@taskfleet/protocol'
import { boundsOf } from '../auth/reach.ts'
import { createMatcher } from '../live/matcher.ts'
import { toRow } from '../live/wire.ts'
import { Commands } from './commands.ts'

/** Workers and gateways. */
export class WorkerCommands extends Commands<'workers'> {
  /** A limited key gets only the workers that serve its queues and names, without their addresses. */
  async list(): Promise<WorkerRow[]> {
    const bounds = boundsOf(this.principal, 'workers')
    const matches = createMatcher(bounds?.filter ?? {})
    const found = (await this.parts.workers.list()) as unknown as Record<string, unknown>[]
    return found.filter(matches).map((worker) => toRow<WorkerRow>('workers', bounds?.show?.(worker) ?? worker))
  }

  /** The worker claims nothing new; its running tasks go on. @throws {FleetError} `NOT_FOUND`, `FORBIDDEN` */
  drain({ worker }: { worker: string }): Promise<WorkerRow> {
    return this.#ask(worker, 'drain')
  }

  /** @throws {FleetError} `NOT_FOUND`, `FORBIDDEN` */
  resume({ worker }: { worker: string }): Promise<WorkerRow> {
    return this.#ask(worker, 'resume')
  }

  async #ask(worker: string, action: 'drain' | 'resume'): Promise<WorkerRow> {
    this.requireUnlimited('control workers')
    const asked = await this.parts.workers.ask(worker, action, this.by)
    const found = asked === null ? null : await this.parts.workers.find(worker)
    if (found === null) {
      throw new FleetError('NOT_FOUND', 'The worker does not exist or has stopped', { field: 'worker' })
    }
    await this.record(`worker ${action}`, { target: worker, changed: 1 })
    return toRow<WorkerRow>('workers', found as never)
  }
}
