import { mongo } from 'mongoose'
import { type AsyncBatch, asyncBatch } from './async-batch.ts'
import { guard, TRANSITIONS } from './lifecycle.ts'
import type { RetentionPolicy } from './retention.ts'
import type { TaskDocument } from './task-document.ts'
import type { Claim, Outcome, Settled } from './task-store.ts'
import * as updates from './task-updates.ts'

type Ended = Pick<Claim, 'task' | 'leaseId'>
type Settlement = { claim: Ended; outcome: Outcome }

/** An output of at most so many bytes may share a write with others. */
const SMALL_OUTPUT = 4_096

/** Ends attempts. Those that end close together share round trips; each task's write stays guarded by its own lease. */
export class Settling {
  readonly #tasks: mongo.Collection<TaskDocument>
  readonly #retention: RetentionPolicy
  readonly #batch: AsyncBatch<Settlement, PromiseSettledResult<Settled>>

  constructor(tasks: mongo.Collection<TaskDocument>, retention: RetentionPolicy) {
    this.#tasks = tasks
    this.#retention = retention
    this.#batch = asyncBatch((settlements) => this.#settleAll(settlements), { waitMs: 4, most: 200 })
  }

  async settle(claim: Ended, outcome: Outcome): Promise<Settled> {
    const settled = await this.#batch({ claim, outcome })
    if (settled.status === 'rejected') throw settled.reason
    return settled.value
  }

  async #settleAll(settlements: readonly Settlement[]): Promise<PromiseSettledResult<Settled>[]> {
    const { alike, single } = grouped(settlements)
    const results = new Map<Settlement, PromiseSettledResult<Settled>>()
    const note = async (group: readonly Settlement[], settling: Promise<Settled[]>): Promise<void> => {
      const [settled] = await Promise.allSettled([settling])
      group.forEach((one, index) => {
        results.set(one, settled.status === 'rejected' ? settled : { ...settled, value: settled.value[index]! })
      })
    }
    await Promise.all([
      ...alike.map((group) => note(group, this.#completeAlike(group))),
      ...(single.length === 0 ? [] : [note(single, this.#settleEach(single))]),
    ])
    return settlements.map((one) => results.get(one)!)
  }

  /** Attempts of one claim that have completed: one write, which a server does several times as fast as one for each. */
  async #completeAlike(settlements: readonly Settlement[]): Promise<Settled[]> {
    const { leaseId } = settlements[0]!.claim
    const ids = settlements.map(({ claim }) => claim.task._id)
    const outputs = settlements.map(({ outcome }) => (outcome.verb === 'complete' ? outcome.output : null))
    const update = updates.completeAll(ids, outputs, await this.#retention.get())
    try {
      const { matchedCount } = await this.#tasks.updateMany(
        guard('complete', { $in: ids }, leaseId) as mongo.Filter<TaskDocument>,
        update,
      )
      if (matchedCount === ids.length) return ids.map(() => ({ owned: true, status: TRANSITIONS.complete.to }))
    } catch (error) {
      // One that can't be written must not keep the others from being.
      if (!(error instanceof mongo.MongoServerError)) throw error
      return this.#settleEach(settlements)
    }
    return this.#readBack(settlements)
  }

  async #settleEach(settlements: readonly Settlement[]): Promise<Settled[]> {
    const retention = await this.#retention.get()
    const writes = settlements.map(({ claim, outcome }) => ({
      filter: guard(outcome.verb, claim.task._id, claim.leaseId),
      update: updates.settle(outcome, retention),
    }))
    const only = writes.length === 1 ? writes[0] : undefined
    if (only !== undefined) {
      const task = await this.#tasks.findOneAndUpdate(only.filter, only.update, {
        returnDocument: 'after',
        projection: { status: 1 },
      })
      return task === null ? this.#readBack(settlements) : [{ owned: true, status: task.status }]
    }
    const { matchedCount } = await this.#tasks.bulkWrite(writes.map((write) => ({ updateOne: write })) as never, {
      ordered: false,
    })
    const allCompleted = settlements.every(({ outcome }) => outcome.verb === 'complete')
    if (matchedCount === writes.length && allCompleted) {
      return settlements.map(() => ({ owned: true, status: TRANSITIONS.complete.to }))
    }
    return this.#readBack(settlements)
  }

  /** What became of attempts: closed under its own lease means that the write was applied, whoever heard of it. */
  async #readBack(settlements: readonly Settlement[]): Promise<Settled[]> {
    const ids = settlements.map(({ claim }) => claim.task._id)
    const found = await this.#tasks.find({ _id: { $in: ids } }, { projection: { status: 1, attempts: 1 } }).toArray()
    const byId = new Map(found.map((task) => [task._id.toHexString(), task]))
    return settlements.map(({ claim, outcome }) => {
      const now = byId.get(claim.task._id.toHexString())
      const attempts = Array.isArray(now?.attempts) ? now.attempts : []
      const attempt = attempts.find(({ lease }) => lease === claim.leaseId)
      const closedByMe = attempt?.endedAt !== undefined && attempt.outcome === TRANSITIONS[outcome.verb].closes
      return now !== undefined && closedByMe ? { owned: true, status: now.status } : { owned: false }
    })
  }
}

/**
 * Those that one write can end: completed, of one claim, hence of one lease, without large outputs. Never across leases, or a
 * task that was claimed anew could be ended in the name of its last attempt.
 */
function grouped(settlements: readonly Settlement[]): { alike: Settlement[][]; single: Settlement[] } {
  const byLease = new Map<string, Settlement[]>()
  const single: Settlement[] = []
  for (const settlement of settlements) {
    const { claim, outcome } = settlement
    const small =
      outcome.verb === 'complete' && mongo.BSON.calculateObjectSize({ output: outcome.output }) <= SMALL_OUTPUT
    if (small) byLease.set(claim.leaseId, [...(byLease.get(claim.leaseId) ?? []), settlement])
    else single.push(settlement)
  }
  const groups = [...byLease.values()]
  return {
    alike: groups.filter(({ length }) => length > 1),
    single: [...single, ...groups.filter(({ length }) => length === 1).flat()],
  }
}
