import type { QueueRate } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { amount, list } from './server-time.ts'
import { grantUpdate, nextStart, type RateRule, rateRule, type StartBucket } from './start-window.ts'

/** The window of one queue. Not in the queue's own document, whose watchers would get every start. */
interface StartsDocument {
  /** The queue's name. */
  _id: string
  rule: RateRule & { rev: number }
  buckets: StartBucket[]
  /** What the last one who asked was granted, when, and in which bucket. */
  at: number
  granted: number
  end: number
  /** When somebody was granted any, in milliseconds. */
  grantedAt?: number
}

/** Starts that may be used until `notAfter`. */
export interface StartGrant {
  queue: string
  count: number
  /** The server's time after which a claim that uses one does nothing. */
  notAfter: Date
  /** In how many milliseconds the window has room again; 0 while it has. */
  nextInMs: number
  /** In how many milliseconds it is sure that the last grant's unused starts are back; infinity when they are already. */
  returnsInMs: number
  /** The bucket that counts them. */
  end: number
}

/** How long after its last use a grant's unused starts may take to be back, in milliseconds. */
const RETURN_MS = 250

/**
 * How often tasks of a queue start in the whole fleet. Whoever wants to claim asks for starts first, in one guarded write
 * that counts them in a sliding window by the server's time; claims, not grants, are never more than the limit in any span
 * of the rate's time. What a process that died was granted is a start that never was, and ages out.
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

  /** First there is one, then those who come at the same moment take turns. */
  async #make(queue: string): Promise<void> {
    await this.#starts
      .updateOne({ _id: queue }, { $setOnInsert: { buckets: [] } }, { upsert: true })
      .catch((error: unknown) => {
        if ((error as { code?: number }).code !== 11_000) throw error
      })
  }

  /** Starts of a grant that nobody has used and nobody will. */
  async giveBack({ queue, end }: Pick<StartGrant, 'queue' | 'end'>, count: number): Promise<void> {
    const less = {
      $max: [0, { $subtract: [amount('$$bucket.n'), { $cond: [{ $eq: ['$$bucket.end', end] }, count, 0] }] }],
    }
    const update = { $map: { input: list('$buckets'), as: 'bucket', in: { end: '$$bucket.end', n: less } } }
    await this.#starts.updateOne({ _id: queue, 'buckets.end': end }, [{ $set: { buckets: update } }])
  }

  /** When a task of the queue may start next; null when it may now. */
  async nextStart(queue: string, rate: QueueRate, now: Date): Promise<Date | null> {
    const starts = await this.#starts.findOne({ _id: queue })
    if (starts === null || !Array.isArray(starts.buckets)) return null
    const at = nextStart(starts.buckets.filter(isBucket), rateRule(rate), now.getTime())
    return at > now.getTime() ? new Date(at) : null
  }
}

const isBucket = (bucket: unknown): bucket is StartBucket =>
  Number.isFinite((bucket as StartBucket | null)?.end) && Number.isFinite((bucket as StartBucket | null)?.n)
