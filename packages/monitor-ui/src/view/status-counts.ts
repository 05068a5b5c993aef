import type { FleetStats, WorkerRow } from '@taskfleet/protocol'
import type { Counts } from './counts.ts'
import { type TaskSearch, taskQuery } from './task-search.ts'

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
export function countsPlan(
  search: TaskSearch,
  workers: Iterable<Pick<WorkerRow, '_id' | 'name'>>,
): CountsPlan | undefined {
  const { name, queue, host, q, deadline } = search
  if (q !== undefined || deadline !== undefined) return undefined
  if (host === undefined && (name === undefined || queue === undefined)) {
    return {
      filter: {},
      pick: ({ byStatus, byName, byQueue }) => {
        if (name !== undefined) return Object.hasOwn(byName, name) ? (byName[name] ?? {}) : {}
        if (queue !== undefined) return Object.hasOwn(byQueue, queue) ? (byQueue[queue] ?? {}) : {}
        return byStatus
      },
    }
  }
  const which: TaskSearch = {
    ...(name !== undefined && { name }),
    ...(queue !== undefined && { queue }),
    ...(host !== undefined && { host }),
  }
  return { filter: taskQuery(which, workers, 0).filter ?? {}, pick: ({ byStatus }) => byStatus }
}
