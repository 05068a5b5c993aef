import { type ExplainReason, type Explanation, hasEnded, type IfFailed } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import {
  ifFailedOf,
  isOver,
  type Predecessor,
  predecessorsOf,
  type Standpoint,
  standpoints,
} from '../task/dependencies.ts'
import type { TaskDocument } from '../task/task-document.ts'

type Named = Predecessor & Pick<TaskDocument, 'name' | 'queue'>

/**
 * Explains why a blocked task waits: one reason for each task that it still waits for, in the order of `after`.
 *
 * @param mayShow whether the caller may see a predecessor; of others, only the id is shown, which the task itself has
 */
export async function explainBlocked(
  task: TaskDocument,
  tasks: mongo.Collection<TaskDocument>,
  mayShow: (predecessor: { queue: string; name: string }) => boolean,
): Promise<Pick<Explanation, 'willRun' | 'reasons'>> {
  const ids = predecessorsOf(task)
  const fields = { status: 1, rev: 1, name: 1, queue: 1 } as const
  const found = await tasks.find({ _id: { $in: ids } }, { projection: fields }).toArray()
  const byId = new Map<string, Named>(found.map((one) => [String(one._id), one]))
  const waits = standpoints(task, byId).filter(({ standing }) => standing !== 'completed')
  const ifFailed = ifFailedOf(task)
  const reasons = waits.map((one) => reasonFor(one, byId.get(String(one.id)), ifFailed, mayShow))
  const message = 'All tasks that it waited for have ended; it becomes pending now'
  return {
    willRun: ifFailed === 'run' || !waits.some(isOver),
    reasons: reasons.length > 0 ? reasons : [{ code: 'BLOCKED', message }],
  }
}

function reasonFor(
  one: Standpoint,
  there: Named | undefined,
  ifFailed: IfFailed,
  mayShow: (predecessor: Named) => boolean,
): ExplainReason {
  const task = String(one.id)
  const until = ifFailed === 'run' ? 'ends' : 'completes'
  if (there !== undefined && !mayShow(there)) {
    return { code: 'BLOCKED', task, message: `It waits until the task ${task} ${until}, which this key may not see` }
  }
  const what = there === undefined ? `the task ${task}` : `the task ${task} (${there.name})`
  return { code: 'BLOCKED', task, message: `It waits until ${what} ${until}, which ${stateOf(one, there)}` }
}

function stateOf(one: Standpoint, there: Named | undefined): string {
  if (there === undefined) return "was removed: edit 'after' or cancel this task"
  const state = hasEnded(there.status) ? `has ${there.status}` : `is ${there.status}`
  return isOver(one) ? `${state}: retry it, edit 'after', or cancel this task` : state
}
