import type { TaskDocument } from '@taskfleet/core'
import {
  type Claim,
  type Claimant,
  type NewTask,
  Outcome,
  parseNewTask,
  type TaskStore,
} from '@taskfleet/core/internal'
import type { TaskStatus } from '@taskfleet/protocol'
import { Types } from 'mongoose'

export const testClaimant: Claimant = { worker: 'worker-1', host: 'host-1', publicBase: 'http://127.0.0.2:4101' }

/** A new task of the test handler. */
export const newTask = (over: Partial<NewTask> = {}): NewTask => ({ ...parseNewTask({ name: 'test' }), ...over })

/** A stored error. */
export const testError = { code: 'TEST', name: 'Error', message: 'it broke', fingerprint: 'f' }

/** Tasks brought to a status by the store's own verbs, one maker for each status. */
export function taskFactory(store: TaskStore): Record<
  TaskStatus,
  (over?: Partial<NewTask>) => Promise<TaskDocument>
> & {
  claimed(over?: Partial<NewTask>): Promise<Claim>
} {
  const pending = async (over: Partial<NewTask> = {}): Promise<TaskDocument> => {
    const [task] = await store.enqueue([newTask({ _id: new Types.ObjectId(), ...over })])
    return task!
  }
  const claimed = async (over: Partial<NewTask> = {}): Promise<Claim> => {
    const task = await pending(over)
    const [claim] = await store.claim([task._id], testClaimant)
    return claim!
  }
  const ended = async (outcome: Outcome, over: Partial<NewTask>): Promise<TaskDocument> => {
    const claim = await claimed(over)
    await store.settle(claim, outcome)
    return (await store.find(claim.task._id))!
  }
  return {
    claimed,
    pending,
    running: async (over = {}) => (await claimed(over)).task,
    paused: async (over = {}) => (await store.pause((await pending(over))._id, 'test'))!,
    blocked: async (over = {}) => pending({ after: (await pending())._id, ...over }),
    completed: (over = {}) => ended(Outcome.completed({ done: true }), over),
    failed: (over = {}) => ended(Outcome.failed(testError), over),
    cancelled: async (over = {}) => (await store.cancel((await pending(over))._id, 'test'))!,
  }
}
