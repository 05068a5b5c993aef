import type { mongo } from 'mongoose'
import { driver } from '../database/driver.ts'
import type { ServerClock } from '../database/server-clock.ts'
import { floorTo, KEPT_MS, type RollUpUnit, UNIT_MS } from './roll-ups.ts'

/** The due tasks of a queue and name that wait for a worker. */
export interface WaitingGroup {
  queue: string
  name: string
  count: number
  /** How long the oldest of them has waited. */
  oldestMs: number
}

/** What waited at one moment. */
export interface Waiting {
  groups: readonly WaitingGroup[]
  /** How many things needed somebody. */
  attention: number
}

/** A minute, at one moment of it. An hour has its fullest minute, with the longest wait and the most attention of all its minutes. */
export interface WaitingSample extends Waiting {
  at: Date
  /** All waiting tasks, and how long the oldest had waited; also those of groups that are left out. */
  count: number
  oldestMs: number
}

interface SampleDocument extends WaitingSample {
  _id: string
  unit: `waiting-${RollUpUnit}` | 'sampling'
  expireAt: Date
}

/** Smaller groups are left out, so that a fleet of thousands of names has small samples. */
const MOST_GROUPS = 50

/** How many tasks waited, minute by minute. Whoever asks first in a minute takes its sample, so one process does it for a whole fleet. */
export class WaitingSamples {
  readonly #samples: mongo.Collection<SampleDocument>
  readonly #clock: Pick<ServerClock, 'now'>

  constructor(db: mongo.Db, { clock }: { clock: Pick<ServerClock, 'now'> }) {
    this.#samples = db.collection('stats')
    this.#clock = clock
  }

  /**
   * Takes this minute's sample, unless it was taken already.
   *
   * @returns whether it was taken now
   */
  async take(look: () => Promise<Waiting>): Promise<boolean> {
    const at = startOf(this.#clock.now(), 'minute')
    const _id = idOf('minute', at)
    const first: SampleDocument = { ...sampleOf(at, { groups: [], attention: 0 }), _id, unit: 'sampling', ...kept(at) }
    try {
      await this.#samples.insertOne(first)
    } catch (error) {
      if (error instanceof driver.MongoServerError && error.code === 11_000) return false
      throw error
    }
    const sample = sampleOf(at, await look())
    // Until now it is not read: a process may have ended while it looked.
    await this.#samples.updateOne({ _id, unit: 'sampling' }, { $set: { ...sample, unit: 'waiting-minute' } })
    await this.#addToHour(sample)
    return true
  }

  /** One process adds at a time, since each minute has one. */
  async #addToHour({ at, ...sample }: WaitingSample): Promise<void> {
    const hour = startOf(at, 'hour')
    const _id = idOf('hour', hour)
    const { attention, oldestMs, count, groups } = sample
    await this.#samples.updateOne(
      { _id },
      {
        $max: { attention, oldestMs },
        $setOnInsert: { unit: 'waiting-hour', at: hour, count, groups, ...kept(hour, 'hour') },
      },
      { upsert: true },
    )
    await this.#samples.updateOne({ _id, count: { $lt: count } }, { $set: { count, groups } })
  }

  /**
   * The samples of a time, the oldest first. Minutes without one had no gateway.
   *
   * @param since included; @param until not included
   */
  async read(
    unit: RollUpUnit,
    { since, until }: { since: Date; until: Date },
    options: mongo.FindOptions = {},
  ): Promise<WaitingSample[]> {
    const found = await this.#samples
      .find({ unit: `waiting-${unit}`, at: { $gte: since, $lt: until } }, options)
      .sort({ at: 1 })
      .toArray()
    return found.filter(isReadable)
  }
}

const startOf = (date: Date, unit: RollUpUnit): Date => new Date(floorTo(date.getTime(), UNIT_MS[unit]))
const idOf = (unit: RollUpUnit, at: Date): string => `waiting\n${unit}\n${at.toISOString()}`
const kept = (at: Date, unit: RollUpUnit = 'minute'): { expireAt: Date } => ({
  expireAt: new Date(at.getTime() + KEPT_MS[unit]),
})

function sampleOf(at: Date, { groups, attention }: Waiting): WaitingSample {
  return {
    ...{ at, attention },
    count: groups.reduce((sum, group) => sum + group.count, 0),
    oldestMs: Math.max(0, ...groups.map(({ oldestMs }) => oldestMs)),
    groups: groups.toSorted((a, b) => b.count - a.count).slice(0, MOST_GROUPS),
  }
}

/** Samples that were changed by hand may have other types. */
const isReadable = ({ at, count, oldestMs, attention, groups }: SampleDocument): boolean =>
  at instanceof Date && [count, oldestMs, attention].every((one) => typeof one === 'number') && Array.isArray(groups)
