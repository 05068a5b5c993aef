import type { FollowedTask } from '@taskfleet/client'
import type { TaskRow } from '@taskfleet/protocol'

interface Followed {
  readonly task: FollowedTask
  rev: number | undefined
}

/** The tasks that are followed by their rows. Several components may have rows of one task, some of them older. */
export class FollowedRows {
  readonly #followed = new Map<string, Followed>()

  add(id: string, task: FollowedTask): void {
    this.#followed.set(id, { task, rev: undefined })
  }

  remove(id: string, task: FollowedTask): void {
    if (this.#followed.get(id)?.task === task) this.#followed.delete(id)
  }

  update(row: TaskRow): void {
    const followed = this.#followed.get(row._id)
    if (followed === undefined || (followed.rev !== undefined && row.rev <= followed.rev)) return
    followed.rev = row.rev
    followed.task.update(row)
  }
}
