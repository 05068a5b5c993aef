import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { driver } from '../database/driver.ts'
import { asError } from '../thrown.ts'
import { type AsyncBatch, asyncBatch } from './async-batch.ts'
import * as updates from './attempt-updates.ts'
import { guard, TRANSITIONS } from './lifecycle.ts'
import type { RetentionPolicy } from './retention.ts'
import type { StoredProgress, TaskDocument } from './task-document.ts'
import type { EndedAttempt, Outcome, Settled } from './task-store.ts'

type Settlement = { claim: EndedAttempt; outcome: Outcome; last: updates.Reported; bytes: number }

/** Only the end of an attempt up to this many bytes may share a write with others. */
const SMALL_END = 4_096
/** Far below the size limit of a document, which must hold the rest of the task as well. */
const LARGEST_END = 8 * 1024 * 1024

/** Ends attempts. Attempts that end close together share round trips. Each task's write is still guarded by its own lease. */
export class Settling {
  readonly #tasks: mongo.Collection<TaskDocument>
  readonly #retention: RetentionPolicy
  readonly #batch: AsyncBatch<Settlement, PromiseSettledResult<Settled>>

  constructor(tasks: mongo.Collection<TaskDocument>, retention: RetentionPolicy) {
    this.#tasks = tasks
    this.#retention = retention
    this.#batch = asyncBatch((settlements) => this.#settleAll(settlements), { waitMs: 4, most: 200 })
  }

  /** @throws {FleetError} `END_REFUSED` for an end that can't be stored; checked first, so that it doesn't fail its batch */
  async settle(claim: EndedAttempt, outcome: Outcome, progress?: StoredProgress): Promise<Settled> {
    const settled = await this.#batch({
      claim,
      outcome,
      last: { progress, naming: claim.naming },
      bytes: sizeOf(outcome, progress),
    })
    if (settled.status === 'rejected') throw settled.reason
    return settled.value
  }

  async #settleAll(settlements: readonly Settlement[]): Promise<PromiseSettledResult<Settled>[]> {
    const { alike, single } = grouped(settlements)
    const results = new Map<Settlement, PromiseSettledResult<Settled>>()
    const note = async (
      group: readonly Settlement[],
      settling: Promise<PromiseSettledResult<Settled>[]>,
    ): Promise<void> => {
      const [settled] = await Promise.allSettled([settling])
      group.forEach((one, index) => {
        results.set(one, settled.status === 'rejected' ? settled : settled.value[index]!)
      })
    }
    await Promise.all([
      ...alike.map((group) => note(group, this.#completeAlike(group))),
      ...(single.length === 0 ? [] : [note(single, this.#settleEach(single))]),
    ])
    return settlements.map((one) => results.get(one)!)
  }

  /**
   * Completes attempts with the same number in one write, which is several times as fast as one write for each. A task's
   * attempts never have the same number, so with the number the write can't end a later attempt whose lease is in the list too.
   */
  async #completeAlike(settlements: readonly Settlement[]): Promise<PromiseSettledResult<Settled>[]> {
    const { attempt } = settlements[0]!.claim.task
    const leases = [...new Set(settlements.map(({ claim }) => claim.leaseId))]
    const ids = settlements.map(({ claim }) => claim.task._id)
    const outputs = settlements.map(({ outcome }) => (outcome.verb === 'complete' ? outcome.output : null))
    const last = settlements.map((one) => one.last)
    const update = updates.completeAll(ids, outputs, await this.#retention.get(), last)
    try {
      const { matchedCount } = await this.#tasks.updateMany(
        { ...guard('complete', { $in: ids }, { $in: leases }), attempt } as mongo.Filter<TaskDocument>,
        update,
      )
      if (matchedCount === ids.length) return ids.map(() => COMPLETED)
    } catch (error) {
      // One task that can't be written must not block the others.
      if (!(error instanceof driver.MongoServerError)) throw error
      return this.#settleEach(settlements)
    }
    return this.#readBack(settlements)
  }

  async #settleEach(settlements: readonly Settlement[]): Promise<PromiseSettledResult<Settled>[]> {
    const retention = await this.#retention.get()
    const writes = settlements.map(({ claim, outcome, last }) => ({
      filter: guard(outcome.verb, claim.task._id, claim.leaseId),
      update: updates.settle(outcome, retention, last),
    }))
    const only = writes.length === 1 ? writes[0] : undefined
    if (only !== undefined) {
      const task = await this.#tasks.findOneAndUpdate(only.filter, only.update, {
        returnDocument: 'after',
        projection: { status: 1 },
      })
      return task === null ? this.#readBack(settlements) : [fulfilled({ owned: true, status: task.status })]
    }
    const operations = writes.map((write) => ({ updateOne: write }))
    try {
      const { matchedCount } = await this.#tasks.bulkWrite(operations as never, { ordered: false })
      const allCompleted = settlements.every(({ outcome }) => outcome.verb === 'complete')
      if (matchedCount === writes.length && allCompleted) return settlements.map(() => COMPLETED)
    } catch (error) {
      return this.#settledBeside(settlements, error)
    }
    return this.#readBack(settlements)
  }

  /** Only the attempts whose end the server rejects get its error. The others are stored. */
  async #settledBeside(settlements: readonly Settlement[], error: unknown): Promise<PromiseSettledResult<Settled>[]> {
    const refused = refusalsOf(error)
    if (refused.size === 0) throw error
    const others = settlements.filter((_, index) => !refused.has(index))
    const read = others.length === 0 ? [] : await this.#readBack(others)
    const found = new Map(others.map((one, index) => [one, read[index]!]))
    return settlements.map((one, index) => found.get(one) ?? { status: 'rejected', reason: refused.get(index) })
  }

  /** Reads how attempts ended. If an attempt is closed under its own lease, its write was applied, even if the answer was lost. */
  async #readBack(settlements: readonly Settlement[]): Promise<PromiseSettledResult<Settled>[]> {
    const ids = settlements.map(({ claim }) => claim.task._id)
    const found = await this.#tasks.find({ _id: { $in: ids } }, { projection: { status: 1, attempts: 1 } }).toArray()
    const byId = new Map(found.map((task) => [task._id.toHexString(), task]))
    return settlements.map(({ claim, outcome }) => {
      const now = byId.get(claim.task._id.toHexString())
      const attempts = Array.isArray(now?.attempts) ? now.attempts : []
      const attempt = attempts.find(({ lease }) => lease === claim.leaseId)
      const closedByMe = attempt?.endedAt !== undefined && attempt.outcome === TRANSITIONS[outcome.verb].closes
      if (now === undefined || !closedByMe) return fulfilled({ owned: false })
      // If another attempt has begun since, this one had left the task waiting.
      return fulfilled({ owned: true, status: attempt === attempts.at(-1) ? now.status : 'pending' })
    })
  }
}

const fulfilled = (value: Settled): PromiseFulfilledResult<Settled> => ({ status: 'fulfilled', value })
const COMPLETED = fulfilled({ owned: true, status: TRANSITIONS.complete.to })

/** The errors by their index in the bulk write; empty if the whole write failed. */
function refusalsOf(error: unknown): Map<number, Error> {
  if (!(error instanceof driver.MongoBulkWriteError) || error.result.getWriteConcernError() !== undefined)
    return new Map()
  return new Map(
    [error.writeErrors].flat().map(({ index, code, errmsg }) => {
      return [index, new driver.MongoServerError({ message: errmsg ?? `code ${code}`, code })]
    }),
  )
}

/**
 * How many bytes an end adds to its task.
 * @throws {FleetError} `END_REFUSED`
 */
function sizeOf(outcome: Outcome, progress: StoredProgress | undefined): number {
  if ('delayMs' in outcome && !Number.isFinite(outcome.delayMs)) {
    throw new FleetError(
      'END_REFUSED',
      `The delay until the next attempt is ${outcome.delayMs}, which is not a valid time`,
    )
  }
  let bytes: number
  try {
    bytes = driver.BSON.calculateObjectSize({ outcome, progress })
  } catch (error) {
    throw new FleetError('END_REFUSED', `The result of this attempt can't be encoded: ${asError(error).message}`, {
      cause: error,
    })
  }
  if (bytes > LARGEST_END)
    throw new FleetError('END_REFUSED', `The result of this attempt takes ${bytes} bytes, more than a task can hold`)
  return bytes
}

/**
 * Groups the attempts that one write can end: completed, with the same number, without large outputs. A group has a task once,
 * so an attempt with a lease that isn't the task's can't be ended by the lease of another entry.
 */
function grouped(settlements: readonly Settlement[]): { alike: Settlement[][]; single: Settlement[] } {
  const byNumber = new Map<number, Map<string, Settlement>>()
  const single: Settlement[] = []
  for (const settlement of settlements) {
    const { claim, outcome, bytes } = settlement
    const { _id, attempt } = claim.task
    if (outcome.verb !== 'complete' || bytes > SMALL_END || attempt === undefined) {
      single.push(settlement)
      continue
    }
    const group = byNumber.get(attempt) ?? new Map<string, Settlement>()
    byNumber.set(attempt, group)
    const id = _id.toHexString()
    if (group.has(id)) single.push(settlement)
    else group.set(id, settlement)
  }
  const groups = [...byNumber.values()].map((group) => [...group.values()])
  return {
    alike: groups.filter(({ length }) => length > 1),
    single: [...single, ...groups.filter(({ length }) => length === 1).flat()],
  }
}
