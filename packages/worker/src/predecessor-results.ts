import type { TaskDocument } from '@taskfleet/core'
import { predecessorsOf, type TaskStore } from '@taskfleet/core/internal'
import { hasEnded } from '@taskfleet/protocol'
import type { PredecessorResult } from './handler.ts'

/** The results of a task's predecessors, in the order of its `after`. */
export async function predecessorResults(
  task: Pick<TaskDocument, 'after'>,
  store: Pick<TaskStore, 'results'>,
): Promise<Map<string, PredecessorResult>> {
  const ids = predecessorsOf(task)
  if (ids.length === 0) return new Map()
  const found = new Map((await store.results(ids)).map((one) => [one._id.toHexString(), one]))
  return new Map(ids.map((id) => [id.toHexString(), resultOf(found.get(id.toHexString()))]))
}

function resultOf(task: Awaited<ReturnType<TaskStore['results']>>[number] | undefined): PredecessorResult {
  if (task === undefined) return { status: 'removed' }
  const { status, output, error } = task
  if (!hasEnded(status)) return { status }
  // An error of an earlier attempt is not the result.
  return status === 'completed' ? { status, output } : { status, ...(error === undefined ? {} : { error }) }
}
