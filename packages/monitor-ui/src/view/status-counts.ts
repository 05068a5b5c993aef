import type { FleetStats } from '@taskfleet/protocol'
import type { Counts } from './counts.ts'
import type { TaskSearch } from './task-search.ts'

interface CountsPlan {
  /** The filter of the statistics. */
  filter: Record<string, unknown>
  pick: (stats: FleetStats) => Counts
}

/**
 * The source of the counts beside the statuses, within the other filters of a search. A name or a queue alone is in the
 * fleet's own statistics, which are loaded anyway; for several, the gateway counts. `undefined` if it would have to
 * read all tasks, which is too expensive.
 */
export function countsPlan({ name, queue, host, q, deadline }: TaskSearch): CountsPlan | undefined {
  if (host !== undefined || q !== undefined || deadline !== undefined) return undefined
  if (name === undefined || queue === undefined) {
    return {
      filter: {},
      pick: ({ byStatus, byName, byQueue }) => {
        if (name !== undefined) return Object.hasOwn(byName, name) ? (byName[name] ?? {}) : {}
        if (queue !== undefined) return Object.hasOwn(byQueue, queue) ? (byQueue[queue] ?? {}) : {}
        return byStatus
      },
    }
  }
  return { filter: { name, queue }, pick: ({ byStatus }) => byStatus }
}
