import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { FleetError } from '@taskfleet/protocol'
import type { Binary, Collection, Db } from 'mongodb'

/** How long a key is remembered. */
const KEPT_MS = 24 * 3_600_000

interface Request {
  /** The principal, the request and the key. */
  _id: string
  hash: string
  /** The ids that the request creates: repeating it with these is safe. */
  ids: string[]
  status?: number
  answer?: Binary
  expireAt: Date
}

/** An answer that was already given. */
export interface GivenAnswer {
  status: number
  /** JSON. */
  body: string
}

/** A request to carry out. If its first try was interrupted, it has the same ids. */
export interface OpenRequest {
  ids: readonly string[]
  /** Keeps the answer; returns the one that counts, if another was quicker. */
  keep(answer: GivenAnswer): Promise<GivenAnswer>
}

const zipped = promisify(gzip)
const unzipped = promisify(gunzip)

/** Requests with an `Idempotency-Key`: each is executed once, and gets the same answer when it is repeated within a day. */
export class IdempotencyKeys {
  readonly #requests: Collection<Request>
  #indexed: Promise<unknown> | undefined

  constructor(db: Db) {
    this.#requests = db.collection('idempotency')
  }

  /**
   * @param scope the principal and the request
   * @param ids the ids that the request creates, if it is the first
   * @throws {FleetError} `BAD_VALUE`, `IDEMPOTENCY_CONFLICT`
   */
  async begin(scope: string, key: string, body: unknown, ids: readonly string[]): Promise<GivenAnswer | OpenRequest> {
    if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
      throw new FleetError('BAD_VALUE', "'Idempotency-Key' is 1 to 255 visible ASCII characters", {
        field: 'idempotency-key',
      })
    }
    const _id = `${scope}\n${key}`
    const hash = createHash('sha256').update(JSON.stringify(body)).digest('base64url')
    const { hash: first, ids: reserved, status, answer } = await this.#take(_id, hash, ids)
    if (first !== hash) {
      throw new FleetError('IDEMPOTENCY_CONFLICT', 'This key was used for another request within the last day', {
        field: 'idempotency-key',
      })
    }
    if (status !== undefined && answer !== undefined) return { status, body: String(await unzipped(answer.buffer)) }
    return { ids: reserved, keep: (given) => this.#keep(_id, given) }
  }

  /** The request of that key: this one, unless there is one from the last day. */
  async #take(_id: string, hash: string, ids: readonly string[]): Promise<Request> {
    this.#indexed ??= this.#requests.createIndex({ expireAt: 1 }, { name: 'retention', expireAfterSeconds: 0 })
    await this.#indexed
    const over = { $lte: [{ $ifNull: [{ $toLong: '$expireAt' }, 0] }, { $toLong: '$$NOW' }] }
    const first = (field: string, value: unknown): object => ({ $cond: [over, value, `$${field}`] })
    // One request of simultaneous ones is stored first; the others then find it.
    await this.#requests
      .updateOne({ _id }, { $setOnInsert: { expireAt: new Date(0) } as never }, { upsert: true })
      .catch((error: unknown) => {
        if ((error as { code?: number }).code !== 11_000) throw error
      })
    const taken = await this.#requests.findOneAndUpdate(
      { _id },
      [
        {
          $set: {
            hash: first('hash', { $literal: hash }),
            ids: first('ids', { $literal: [...ids] }),
            status: first('status', '$$REMOVE'),
            answer: first('answer', '$$REMOVE'),
            expireAt: first('expireAt', { $dateAdd: { startDate: '$$NOW', unit: 'millisecond', amount: KEPT_MS } }),
          },
        },
      ],
      { returnDocument: 'after' },
    )
    // It has just expired, and the database has removed it.
    return taken ?? this.#take(_id, hash, ids)
  }

  async #keep(_id: string, { status, body }: GivenAnswer): Promise<GivenAnswer> {
    const answer = await zipped(body)
    await this.#requests.updateOne({ _id, answer: { $exists: false } }, { $set: { status, answer: answer as never } })
    const kept = await this.#requests.findOne({ _id })
    if (kept?.answer === undefined || kept.status === undefined) return { status, body }
    return { status: kept.status, body: String(await unzipped(kept.answer.buffer)) }
  }
}
