import type { QueueRate } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { amount, list } from './server-time.ts'
import { grantUpdate, nextStart, type RateRule, rateRule, type StartBucket } from './start-window.ts'

/** The window of one queue. It is not in the queue's document, because watchers of that would get every start. */
interface StartsDocument {
  /** The queue's name. */
  _id: string
  rule: RateRule & { rev: number }
  buckets: StartBucket[]
  /** The last grant: how many starts, when, and in which bucket. */
  at: number
  granted: number
  end: number
  /** The time of the last grant that wasn't empty, in milliseconds. */
  grantedAt?: number
}

/** Starts that may be used until `notAfter`. */
export interface StartGrant {
  queue: string
  count: number
  /** The server's time after which a claim can't use these starts any more. */
  notAfter: Date
  /** In how many milliseconds the window has room again; 0 while it has. */
  nextInMs: number
  /** In how many milliseconds the last grant's unused starts are surely returned; infinity if they already are. */
  returnsInMs: number
  /** The bucket that counts these starts. */
  end: number
}

/** How long after its expiry a grant's unused starts are returned at the latest, in milliseconds. */
const RETURN_MS = 250

/**
 * Limits how often tasks of a queue start in the whole fleet. A worker requests starts before it claims. One guarded write
 * grants them and counts them in a sliding window by the server's time. In any period of the rate, there are never more
 * claims than the limit. Starts that were granted to a process that died stay unused and leave the window.
 */
export class StartRates {
  readonly #starts: mongo.Collection<StartsDocument>

  constructor(db: mongo.Db) {
    this.#starts = db.collection('queueRates')
  }

  /**
   * @param rev the revision of the queue at which it had this rate
   * @param asked how many starts are wanted
   */
  async ask(queue: string, { rate, rev }: { rate: QueueRate; rev: number }, asked: number): Promise<StartGrant> {
    const update = grantUpdate(rateRule(rate), rev, asked)
    const find = (): Promise<StartsDocument | null> =>
      this.#starts.findOneAndUpdate({ _id: queue }, update, { returnDocument: 'after' })
    const { granted, at, end, rule, buckets, grantedAt = 0 } = (await find()) ?? (await this.#make(queue).then(find))!
    const returnsAt = grantedAt + rule.usable + RETURN_MS
    return {
      queue,
      count: granted,
      notAfter: new Date(at + rule.usable),
      nextInMs: nextStart(buckets, rule, at) - at,
      returnsInMs: returnsAt > at ? returnsAt - at : Number.POSITIVE_INFINITY,
      end,
    }
  }

  /** Creates the document first, so that requests at the same moment update it one after another. */
  async #make(queue: string): Promise<void> {
    await this.#starts
      .updateOne({ _id: queue }, { $setOnInsert: { buckets: [] } }, { upsert: true })
      .catch((error: unknown) => {
        if ((error as { code?: number }).code !== 11_000) throw error
      })
  }

  /** Returns starts of a grant that will not be used. */
  async giveBack({ queue, end }: Pick<StartGrant, 'queue' | 'end'>, count: number): Promise<void> {
    const less = {
      $max: [0, { $subtract: [amount('$$bucket.n'), { $cond: [{ $eq: ['$$bucket.end', end] }, count, 0] }] }],
    }
    const update = { $map: { input: list('$buckets'), as: 'bucket', in: { end: '$$bucket.end', n: less } } }
    await this.#starts.updateOne({ _id: queue, 'buckets.end': end }, [{ $set: { buckets: update } }])
  }

  /** When the next task of the queue may start; null if it may start now. */
  async nextStart(queue: string, rate: QueueRate, now: Date): Promise<Date | null> {
    const starts = await this.#starts.findOne({ _id: queue })
    if (starts === null || !Array.isArray(starts.buckets)) return null
    const at = nextStart(starts.buckets.filter(isBucket), rateRule(rate), now.getTime())
    return at > now.getTime() ? new Date(at) : null
  }
}

const isBucket = (bucket: unknown): bucket is StartBucket =>
  Number.isFinite((bucket as StartBucket | null)?.end) && Number.isFinite((bucket as StartBucket | null)?.n)
