import { randomUUID } from 'node:crypto'
import { type ErrorRow, type ErrorState, FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { DocumentGate } from '../documents/gate.ts'
import type { Stored } from '../documents/stored.ts'
import { readBounded } from '../live/bounded-read.ts'
import { type AsyncBatch, asyncBatch } from '../task/async-batch.ts'
import { amount, type Expression, fromNow, hasCome, list, millis, NOW } from '../task/server-time.ts'
import type { ObjectId, TaskError } from '../task/task-document.ts'

/** A failed attempt. */
export interface Failure {
  error: TaskError
  task: ObjectId
  name: string
  /** The version of the handler that ran the attempt. */
  version: number
  /** The name of the worker. */
  host: string
}

/** Errors of one fingerprint, as the collection `errors` holds them. */
export interface ErrorDocument
  extends Omit<
    Stored<ErrorRow, 'firstSeenAt' | 'lastSeenAt' | 'ignoredUntil' | 'notifiedAt', 'samples'>,
    'trend' | 'marked'
  > {
  trend: { hour: Date; count: number }[]
  marked?: { by: string; at: Date }
  /** The process that may notify the developer. */
  notice?: string
  expireAt: Date
}

/** Changes to the marks of a group. Absent ones stay; `null` removes a text. */
export interface ErrorChanges {
  state?: ErrorState
  /** For `ignored`: the group opens again when its error comes back after this date. */
  until?: Date
  /** For `resolved`: failures of earlier versions of this handler don't open the group again. */
  resolvedIn?: { name: string; version: number }
  owner?: string | null
  note?: string | null
}

const SAMPLES = 10
const HOURS = 48
const NAMES = 50
const KEPT_MS = 90 * 86_400_000
const HOUR_MS = 3_600_000

/**
 * Recurring errors: failed attempts grouped by fingerprint. Each process counts its own failures. A resolved or ignored group
 * opens again when its error comes back; an ignored one not before its date, and one that is resolved in a version not because of
 * earlier versions.
 */
export class ErrorReport {
  readonly #errors: mongo.Collection<ErrorDocument>
  readonly #recording: AsyncBatch<Failure, ErrorDocument | null>
  readonly #gate: DocumentGate

  constructor(db: mongo.Db, gate = new DocumentGate(db)) {
    this.#gate = gate
    this.#errors = db.collection('errors')
    this.#recording = asyncBatch((failures) => this.#recordAll(failures), { waitMs: 100, most: 500 })
  }

  /** Counts a failure and returns its updated group. Failures close together share a write. */
  record(failure: Failure): Promise<ErrorDocument | null> {
    return this.#recording(failure)
  }

  async #recordAll(failures: readonly Failure[]): Promise<(ErrorDocument | null)[]> {
    const groups = new Map<string, Failure[]>()
    for (const failure of failures) {
      const { fingerprint } = failure.error
      groups.set(fingerprint, [...(groups.get(fingerprint) ?? []), failure])
    }
    const recorded = new Map<string, ErrorDocument | null>()
    for (const [fingerprint, group] of groups) {
      const after = await this.#errors.findOneAndUpdate({ _id: fingerprint }, counted(group), {
        upsert: true,
        returnDocument: 'after',
      })
      recorded.set(fingerprint, after)
    }
    return failures.map(({ error }) => recorded.get(error.fingerprint) ?? null)
  }

  /**
   * Acquires the right to notify the developer about a group: at most one process gets it in `periodMs`.
   *
   * @param threshold how many failures make an error a recurring one
   * @returns the group, or null when it was already notified, is not open or has not recurred
   */
  async takeNotice(fingerprint: string, threshold: number, periodMs: number): Promise<ErrorDocument | null> {
    const due = { $or: [{ $not: [{ $ifNull: ['$notifiedAt', false] }] }, longAgo('$notifiedAt', periodMs)] }
    const mine = randomUUID()
    const taken = await this.#errors.findOneAndUpdate(
      { _id: fingerprint, state: 'open', count: { $gte: threshold } },
      [
        {
          $set: {
            notifiedAt: { $cond: [due, NOW, '$notifiedAt'] },
            notice: { $cond: [due, mine, '$notice'] },
            rev: { $add: [amount('$rev'), { $cond: [due, 1, 0] }] },
          },
        },
      ],
      { returnDocument: 'after' },
    )
    return taken?.notice === mine ? taken : null
  }

  async find(fingerprint: string): Promise<ErrorDocument | null> {
    return this.#gate.one('errors', await this.#errors.findOne({ _id: fingerprint }))
  }

  /** The latest first. */
  async list({ state, limit = 100 }: { state?: ErrorState; limit?: number } = {}): Promise<ErrorDocument[]> {
    const found = this.#errors
      .find(state === undefined ? {} : { state })
      .sort({ lastSeenAt: -1 })
      .limit(limit)
    return this.#gate.all('errors', (await readBounded(found, limit)).docs)
  }

  /** @throws {FleetError} `NOT_FOUND` */
  async mark(
    fingerprint: string,
    { state, until, resolvedIn, owner, note }: ErrorChanges,
    by: string,
  ): Promise<ErrorDocument> {
    const text = (value: string | null): Expression =>
      value === null || value === '' ? '$$REMOVE' : { $literal: value }
    const marked = await this.#errors.findOneAndUpdate(
      { _id: fingerprint },
      [
        {
          $set: {
            ...(state === undefined
              ? {}
              : {
                  state,
                  marked: { by: { $literal: by }, at: NOW },
                  ignoredUntil: state === 'ignored' && until !== undefined ? { $literal: until } : '$$REMOVE',
                  resolvedIn: state === 'resolved' && resolvedIn !== undefined ? { $literal: resolvedIn } : '$$REMOVE',
                }),
            ...(owner === undefined ? {} : { owner: text(owner) }),
            ...(note === undefined ? {} : { note: text(note) }),
            rev: { $add: [amount('$rev'), 1] },
          },
        },
      ],
      { returnDocument: 'after' },
    )
    if (marked === null)
      throw new FleetError('NOT_FOUND', `There is no error '${fingerprint}'`, { field: 'fingerprint' })
    return marked
  }
}

/** Whether a date is more than `ms` in the past. */
function longAgo(path: string, ms: number): Expression {
  return { $lte: [{ $add: [millis(path, 0), ms] }, { $toLong: NOW }] }
}

function counted(group: readonly Failure[]): mongo.Document[] {
  const { error } = group.at(-1)!
  const literal = (value: unknown): Expression => ({ $literal: value })
  const union = (field: string, values: readonly string[]): Expression => ({
    $slice: [{ $setUnion: [list(`$${field}`), literal([...new Set(values)])] }, NAMES],
  })
  const hour = { $toDate: { $subtract: [{ $toLong: NOW }, { $mod: [{ $toLong: NOW }, HOUR_MS] }] } }
  const last = { $arrayElemAt: ['$trend', -1] }
  const thisHour = { $and: [{ $eq: [millis('$last.hour', -1), { $toLong: '$hour' }] }, { $isNumber: '$last.count' }] }
  const earlier = {
    $filter: { input: '$trend', as: 'one', cond: { $ne: [millis('$$one.hour'), { $toLong: '$hour' }] } },
  }
  // Failures of versions before the one in which it is resolved don't count as coming back.
  const places = [...new Map(group.map(({ name, version }) => [`${name}@${version}`, { name, version }])).values()]
  const isEarlier = places.map(({ name, version }) => ({
    $and: [{ $eq: ['$resolvedIn.name', literal(name)] }, { $gt: [amount('$resolvedIn.version'), version] }],
  }))
  const back = {
    $or: [
      { $and: [{ $eq: ['$state', 'resolved'] }, { $not: [{ $and: isEarlier }] }] },
      {
        $and: [
          { $eq: ['$state', 'ignored'] },
          { $ne: [{ $ifNull: ['$ignoredUntil', null] }, null] },
          hasCome('$ignoredUntil'),
        ],
      },
    ],
  }
  const samples = group.map(({ task }) => task)
  return [
    { $set: { trend: list('$trend'), state: { $ifNull: ['$state', 'open'] }, hour } },
    { $set: { last, back } },
    {
      $set: {
        code: literal(error.code),
        name: literal(error.name),
        message: literal(error.message),
        stack: error.stack === undefined ? '$$REMOVE' : literal(error.stack),
        count: { $add: [amount('$count'), group.length] },
        trend: {
          $slice: [
            {
              $concatArrays: [
                earlier,
                [{ hour: '$hour', count: { $add: [{ $cond: [thisHour, '$last.count', 0] }, group.length] } }],
              ],
            },
            -HOURS,
          ],
        },
        tasks: union(
          'tasks',
          group.map(({ name }) => name),
        ),
        versions: union(
          'versions',
          group.map(({ name, version }) => `${name}@${version}`),
        ),
        hosts: union(
          'hosts',
          group.map(({ host }) => host),
        ),
        samples: {
          $slice: [
            {
              $concatArrays: [
                {
                  $filter: {
                    input: list('$samples'),
                    as: 'one',
                    cond: { $not: [{ $in: ['$$one', literal(samples)] }] },
                  },
                },
                literal([...new Map(samples.map((id) => [id.toHexString(), id])).values()]),
              ],
            },
            -SAMPLES,
          ],
        },
        firstSeenAt: { $ifNull: ['$firstSeenAt', NOW] },
        lastSeenAt: NOW,
        reopened: { $add: [amount('$reopened'), { $cond: ['$back', 1, 0] }] },
        state: { $cond: ['$back', 'open', '$state'] },
        ignoredUntil: { $cond: ['$back', '$$REMOVE', '$ignoredUntil'] },
        resolvedIn: { $cond: ['$back', '$$REMOVE', '$resolvedIn'] },
        // When an error comes back, the developer is notified again at once.
        notifiedAt: { $cond: ['$back', '$$REMOVE', '$notifiedAt'] },
        expireAt: fromNow(KEPT_MS),
        rev: { $add: [amount('$rev'), 1] },
      },
    },
    { $unset: ['hour', 'last', 'back'] },
  ]
}
