import type { AttentionRow } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { isUnlimited, visibleTo } from '../auth/reach.ts'
import type { RolledUp } from '../history/roll-ups.ts'
import type { Waiting, WaitingGroup } from '../history/waiting-samples.ts'
import type { TaskDocument } from '../task/task-document.ts'
import { isSilent } from '../worker/session.ts'
import { attention, type DueTasks, LEAST_WAIT_MS, type Observed, RISK_MS } from './attention.ts'
import { Commands } from './commands.ts'

const MAX_QUERY_MS = 2_000
const MOST_GROUPS = 1_000
const MOST_AT_RISK = 1_000
const MOST_ROLL_UPS = 10_000
const MOST_ERRORS = 200
const DAY_MS = 86_400_000
/** Callers with the same reach share an answer that is younger than this. */
const SHARED_MS = 2_000

type Parts = 'tasks' | 'workers' | 'queues' | 'schedules' | 'errors' | 'rollUps' | 'gate' | 'database'

interface Answer {
  until: number
  rows: Promise<AttentionRow[]>
}

/** What needs somebody. */
export class AttentionCommands extends Commands<Parts> {
  /** A limited key learns of its own queues and names alone. @throws {FleetError} `QUERY_TOO_SLOW` */
  list(): Promise<AttentionRow[]> {
    const answers = answersOf(this.parts)
    const now = performance.now()
    for (const [key, { until }] of answers) if (until <= now) answers.delete(key)
    return answers.get(this.#reach)?.rows ?? this.read()
  }

  /** As `list`, but never an answer that another caller got. */
  read(): Promise<AttentionRow[]> {
    const answers = answersOf(this.parts)
    const answer = { until: performance.now() + SHARED_MS, rows: this.#observe().then(attention) }
    answers.set(this.#reach, answer)
    answer.rows.catch(() => {
      if (answers.get(this.#reach) === answer) answers.delete(this.#reach)
    })
    return answer.rows
  }

  /** What waits, and how many things need somebody. */
  async look(): Promise<Waiting> {
    const observed = await this.#observe()
    const groups = new Map<string, WaitingGroup>()
    for (const { queue, name, count, oldest } of observed.due) {
      const key = `${queue}\n${name}`
      const group = groups.get(key) ?? { queue, name, count: 0, oldestMs: 0 }
      const oldestMs = Math.max(group.oldestMs, observed.now.getTime() - oldest.getTime())
      groups.set(key, { ...group, count: group.count + count, oldestMs })
    }
    return { groups: [...groups.values()], attention: attention(observed).length }
  }

  get #reach(): string {
    return JSON.stringify([this.principal.queues, this.principal.names])
  }

  async #observe(): Promise<Observed> {
    const { parts, principal } = this
    const now = parts.database.clock.now()
    const all = isUnlimited(principal)
    const within = visibleTo(principal) ?? {}
    const due = await this.#due(now, within)
    const [atRisk, workers, queues, schedules, ended, errors, setAside] = await Promise.all([
      this.#atRisk(now, within),
      parts.workers.list(),
      principal.names === undefined ? parts.queues.list() : [],
      parts.schedules.list(visibleTo(principal, 'schedules')),
      due.some(({ oldest }) => now.getTime() - oldest.getTime() >= LEAST_WAIT_MS) ? this.#ended(now, within) : [],
      all ? parts.errors.list({ state: 'open', limit: MOST_ERRORS }) : [],
      all ? parts.gate.setAside.list() : [],
    ])
    const silent = workers.filter((worker) => isSilent(worker, now))
    return {
      ...{ now, due, atRisk, schedules, ended, errors },
      // Who serves what is needed for every key; who is silent, and with what secret, is for unlimited ones.
      workers: all
        ? workers
        : workers.filter((worker) => !silent.includes(worker)).map(({ secretIds: _, ...rest }) => rest),
      queues: queues.filter(({ _id }) => principal.queues?.includes(_id) !== false),
      held: all ? await this.#held(silent.map(({ _id }) => _id)) : new Map(),
      setAside: setAside.length,
    }
  }

  async #due(now: Date, within: Record<string, unknown>): Promise<DueTasks[]> {
    const found = await this.parts.tasks
      .aggregate<{ _id: Pick<DueTasks, 'queue' | 'name' | 'version'>; count: number; oldest: Date }>(
        [
          { $match: { $and: [{ status: 'pending', runAt: { $lte: now } }, within] } },
          {
            $group: {
              _id: { queue: '$queue', name: '$name', version: '$version' },
              count: { $sum: 1 },
              oldest: { $min: '$runAt' },
            },
          },
          { $sort: { oldest: 1 } },
          { $limit: MOST_GROUPS },
        ],
        { maxTimeMS: MAX_QUERY_MS },
      )
      .toArray()
    return found.map(({ _id, count, oldest }) => ({ ..._id, count, oldest })).filter(isReadable)
  }

  #ended(now: Date, within: Record<string, unknown>): Promise<RolledUp[]> {
    const day = { since: new Date(now.getTime() - DAY_MS), until: now }
    return this.parts.rollUps.read('hour', day, within, { limit: MOST_ROLL_UPS, maxTimeMS: MAX_QUERY_MS })
  }

  async #atRisk(now: Date, within: Record<string, unknown>): Promise<string[]> {
    const soon = new Date(now.getTime() + RISK_MS)
    // `raiseAt` has an index, and is never after the deadline.
    const near = { raiseAt: { $lte: soon }, deadline: { $lte: soon }, status: { $in: ['pending', 'blocked'] } }
    const found = await this.parts.tasks
      .find({ $and: [near, within] } as mongo.Filter<TaskDocument>, {
        projection: { name: 1 },
        maxTimeMS: MAX_QUERY_MS,
      })
      .limit(MOST_AT_RISK)
      .toArray()
    return found.map(({ name }) => name).filter((name) => typeof name === 'string')
  }

  /** How many tasks run under each session. */
  async #held(sessions: readonly string[]): Promise<Map<string, number>> {
    if (sessions.length === 0) return new Map()
    const found = await this.parts.tasks
      .aggregate<{ _id: string; count: number }>(
        [
          { $match: { status: 'running', 'lease.session': { $in: [...sessions] } } },
          { $group: { _id: '$lease.session', count: { $sum: 1 } } },
        ],
        { maxTimeMS: MAX_QUERY_MS },
      )
      .toArray()
    return new Map(found.map(({ _id, count }) => [_id, count]))
  }
}

/** By fleet. */
const ANSWERS = new WeakMap<object, Map<string, Answer>>()

function answersOf(fleet: object): Map<string, Answer> {
  const known = ANSWERS.get(fleet)
  if (known !== undefined) return known
  const fresh = new Map<string, Answer>()
  ANSWERS.set(fleet, fresh)
  return fresh
}

/** Tasks that were changed by hand may have other types. */
const isReadable = ({ queue, name, version, oldest }: DueTasks): boolean =>
  typeof queue === 'string' && typeof name === 'string' && typeof version === 'number' && oldest instanceof Date
