import { randomUUID } from 'node:crypto'
import { FleetError } from '@taskfleet/protocol'
import * as updates from './attempt-updates.ts'
import { guard } from './lifecycle.ts'
import { isAboutDocument, isFit, type Quarantine } from './quarantine.ts'
import type { StoreParts } from './store-parts.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'
import type { Claim, Claimant } from './task-store.ts'
import { lostAtMost } from './waiting-tasks.ts'

/** Claims tasks for a worker, each by one guarded write. */
export class Claiming {
  readonly #parts: StoreParts
  readonly #tasks: StoreParts['tasks']
  readonly #quarantine: Quarantine

  constructor(parts: StoreParts) {
    this.#parts = parts
    this.#tasks = parts.tasks
    this.#quarantine = parts.quarantine
  }

  async claim(ids: readonly ObjectId[], claimant: Claimant, onEarly: (id: ObjectId) => void): Promise<Claim[]> {
    const claims = await this.#claimEach(ids, claimant, onEarly)
    const good = claims.filter(({ task }) => isFit(task))
    for (const { task } of good) this.#parts.tell(task)
    if (good.length < claims.length) {
      await this.#quarantine.end(claims.filter(({ task }) => !isFit(task)).map(({ task }) => task._id))
    }
    return good
  }

  /** Claims the tasks one by one: a task that the server can't write is found this way and doesn't block the others. */
  async #claimEach(ids: readonly ObjectId[], claimant: Claimant, onEarly: (id: ObjectId) => void): Promise<Claim[]> {
    const [only] = ids
    if (only !== undefined && ids.length === 1) {
      return (await this.#quarantine.whileWriting(only, () => this.#claim(ids, claimant, onEarly))) ?? []
    }
    try {
      return await this.#claim(ids, claimant, onEarly)
    } catch (error) {
      if (!isAboutDocument(error)) throw error
      const claims: Claim[] = []
      for (const id of ids) claims.push(...(await this.#claimEach([id], claimant, onEarly)))
      return claims
    }
  }

  async #claim(ids: readonly ObjectId[], claimant: Claimant, onEarly: (id: ObjectId) => void): Promise<Claim[]> {
    if (ids.length === 0) return []
    const leaseId = randomUUID()
    const update = updates.claim(leaseId, claimant)
    const sentAt = performance.now()
    const asClaim = (task: TaskDocument): Claim => ({ task, leaseId, sentAt })
    try {
      const served = {
        ...(claimant.queues === undefined ? {} : { queue: { $in: [...claimant.queues] } }),
        ...lostAtMost(claimant.maxLost),
      }
      if (ids.length === 1) {
        const task = await this.#tasks.findOneAndUpdate({ ...guard('claim', ids[0]), ...served }, update, {
          returnDocument: 'after',
        })
        if (task?.lease?.id === leaseId) return [asClaim(task)]
        if (task !== null) await this.#leftWaiting([task], onEarly)
        return []
      }
      const { status } = guard('claim', null)
      const { matchedCount, modifiedCount } = await this.#tasks.updateMany(
        { _id: { $in: [...ids] }, status: status as 'pending', ...served },
        update,
      )
      if (matchedCount > modifiedCount)
        await this.#leftWaiting(await this.#tasks.find({ _id: { $in: [...ids] } }).toArray(), onEarly)
      if (modifiedCount === 0) return []
    } catch (error) {
      if ((error as { code?: number }).code === 11_000) {
        throw new FleetError('SLOT_TAKEN', 'Another task already holds this place in the queue')
      }
      // The server may have written the claims before the connection broke. They are ours as long as the lease is valid.
      const adopted = await this.#heldBy(ids, leaseId).catch(() => null)
      if (adopted === null || adopted.length === 0) throw error
      return adopted.map((task) => ({ ...asClaim(task), adopted: true }))
    }
    const claimed = await this.#heldBy(ids, leaseId)
    const byId = new Map(claimed.map((task) => [task._id.toHexString(), task]))
    // In the order of the request.
    return ids.flatMap((id) => byId.get(id.toHexString()) ?? []).map(asClaim)
  }

  /** Handles tasks that a claim matched and left unchanged: they are not due yet, or they are malformed. */
  async #leftWaiting(tasks: readonly TaskDocument[], onEarly: (id: ObjectId) => void): Promise<void> {
    const waiting = tasks.filter(({ status }) => status === 'pending')
    for (const task of waiting) if (isFit(task)) onEarly(task._id)
    await this.#quarantine.end(waiting.filter((task) => !isFit(task)).map(({ _id }) => _id))
  }

  /** Asks by id alone, so that the server can't choose the index of all running tasks. */
  async #heldBy(ids: readonly ObjectId[], leaseId: string): Promise<TaskDocument[]> {
    const found = await this.#tasks.find({ _id: { $in: [...ids] } }).toArray()
    return found.filter(({ status, lease }) => status === 'running' && lease?.id === leaseId)
  }
}
