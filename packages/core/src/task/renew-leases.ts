/**
 * The entry "@taskfleet/core/renewal": light enough for a thread that does nothing else.
 */
import type { mongo } from 'mongoose'
import { fromNow } from './server-time.ts'
import type { TaskDocument } from './task-document.ts'

type Tasks = Pick<mongo.Collection<TaskDocument>, 'updateMany' | 'distinct'>

/**
 * One write that extends every lease of a process; shared with the thread that renews while the main one is blocked.
 * It leaves `rev` alone, so that it reaches no subscriber. Returns the lease ids that are no longer held.
 */
export async function renewLeases(tasks: Tasks, leaseIds: readonly string[], leaseMs: number): Promise<string[]> {
  if (leaseIds.length === 0) return []
  const mine = { 'lease.id': { $in: [...leaseIds] }, status: 'running' } as const
  await tasks.updateMany(mine, [{ $set: { 'lease.expiresAt': fromNow(leaseMs) } }])
  const held = new Set(await tasks.distinct('lease.id', mine))
  return leaseIds.filter((leaseId) => !held.has(leaseId))
}
