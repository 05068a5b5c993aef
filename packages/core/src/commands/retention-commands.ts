import { durationText, type Pruned, type PruneRequest, type Retention } from '@taskfleet/protocol'
import { Commands } from './commands.ts'
import { prune } from './prune.ts'

/** How long ended tasks are kept. This belongs to no single queue or name. */
export class RetentionCommands extends Commands<'retention' | 'tasks' | 'logs' | 'database'> {
  /** @throws {FleetError} `FORBIDDEN` */
  async show(): Promise<Retention> {
    this.requireUnlimited('read the retention')
    return this.parts.retention.get()
  }

  /** Applies to tasks that end from now on. @throws {FleetError} `OUT_OF_RANGE`, `FORBIDDEN` */
  async set(changes: Partial<Retention>): Promise<Retention> {
    this.requireUnlimited('change the retention')
    const policy = await this.parts.retention.set(changes)
    const target = Object.entries(changes).map(([status, kept]) => `${status} ${keptText(kept)}`)
    await this.record('retention', { target: target.join(', '), changed: 1 })
    return policy
  }

  /** Permanently removes ended tasks and their log lines. @throws {FleetError} `FORBIDDEN` */
  async prune(request: PruneRequest = {}): Promise<Pruned> {
    this.requireUnlimited('remove ended tasks')
    return prune(this.parts, { ...request, by: this.by })
  }
}

const keptText = (kept: number | null): string => (kept === null ? 'forever' : durationText(kept, { parts: 5 }))
