import { isDeepStrictEqual } from 'node:util'
import { FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import { Signing } from '../auth/signing.ts'
import { DocumentGate } from '../documents/gate.ts'
import type { AuditLog } from '../history/audit-log.ts'
import { readBounded } from '../live/bounded-read.ts'
import { OPEN_STATUSES } from '../task/lifecycle.ts'
import { literals, NOW } from '../task/server-time.ts'
import type { TaskDocument } from '../task/task-document.ts'
import type { TaskStore } from '../task/task-store.ts'
import { asError } from '../thrown.ts'
import { type Firing, planFiring, taskByHand, taskIdOf, taskOfSlot } from './firing.ts'
import { parseSchedule, parseScheduleChanges } from './parse-schedule.ts'
import type { DueSchedule, ScheduleDocument, ScheduleSettings, Timing } from './schedule-document.ts'
import { nextSlot } from './slots.ts'

export interface SchedulesDeps {
  db: mongo.Db
  store: TaskStore
  audit: AuditLog
  /** One of its own by default. */
  gate?: DocumentGate
  /** Signs schedules; nothing by default. */
  signing?: Signing
  /** The server's time. */
  now: () => Date
}

const DUE_PAGE = 100
const TIMING: readonly (keyof Timing)[] = ['cron', 'every', 'timeZone', 'startsAt', 'endsAt']
/** What an edit takes away where the new settings don't have it. */
const ABSENT = { cron: undefined, every: undefined, startsAt: undefined, endsAt: undefined }
/** `undefined` takes a field away. */
type Changes = { [Field in keyof ScheduleDocument]?: ScheduleDocument[Field] | undefined }

/**
 * Schedules, and what becomes of their slots. Nobody leads: whoever sees a slot come makes its task, under an id that is the same
 * for all, and then moves the schedule on by one guarded write. So a slot has one task however many see it, and whoever dies
 * in between.
 */
export class Schedules {
  readonly #deps: SchedulesDeps
  readonly #schedules: mongo.Collection<ScheduleDocument>
  readonly #gate: DocumentGate
  readonly #signing: Signing
  readonly #tasks: mongo.Collection<TaskDocument>

  constructor(deps: SchedulesDeps) {
    this.#deps = deps
    this.#gate = deps.gate ?? new DocumentGate(deps.db)
    this.#signing = deps.signing ?? new Signing()
    this.#schedules = deps.db.collection('schedules')
    this.#tasks = deps.db.collection('tasks')
  }

  /** Repeating it with the same settings is harmless. @throws {FleetError} as `parseSchedule`; `SCHEDULE_EXISTS` */
  async create(request: unknown, by: string): Promise<ScheduleDocument> {
    const now = this.#deps.now()
    const { _id, ...settings } = parseSchedule(request, now)
    const anchored = withAnchor(settings, now)
    const nextAt = settings.paused ? null : this.#firstSlot(anchored, now)
    const schedule: ScheduleDocument = {
      _id,
      ...anchored,
      ...(nextAt === null ? {} : { nextAt }),
      by,
      createdAt: now,
      updatedAt: now,
      edition: 1,
      rev: 1,
      ...this.#signing.field('schedule', { _id, ...anchored }),
    }
    try {
      await this.#schedules.insertOne(schedule)
      return schedule
    } catch (error) {
      if ((error as { code?: number }).code !== 11_000) throw error
      return this.#sameAs(_id, settings)
    }
  }

  /** @throws {FleetError} `SCHEDULE_EXISTS` */
  async #sameAs(_id: string, settings: ScheduleSettings): Promise<ScheduleDocument> {
    const there = await this.#schedules.findOne({ _id })
    const anchor = settings.startsAt ?? there?.startsAt
    const wanted = settings.every === undefined || anchor === undefined ? settings : { ...settings, startsAt: anchor }
    if (there !== null && this.#gate.lets('schedules', there) && sameSettings(there, wanted)) return there
    throw new FleetError('SCHEDULE_EXISTS', `There is a schedule '${_id}' with other settings`, { field: '_id' })
  }

  /** Moves the next slot only if its timing changes. @throws {FleetError} as `parseScheduleChanges`; `REV_CONFLICT` */
  async edit(before: ScheduleDocument, changes: unknown, by: string): Promise<ScheduleDocument> {
    const now = this.#deps.now()
    const settings = withAnchor(parseScheduleChanges(before, changes, now), now)
    const sameTime =
      TIMING.every((field) => isDeepStrictEqual(before[field], settings[field])) && before.paused === settings.paused
    const signature = this.#signing.signAgain('schedule', { ...before }, { _id: before._id, ...settings })
    const edited = { ...ABSENT, ...settings, ...given({ signature }) }
    if (sameTime) return this.#change(before, edited, by)
    const nextAt = settings.paused ? null : this.#firstSlot(settings, now)
    return this.#change(before, { ...edited, nextAt: nextAt ?? undefined }, by)
  }

  /** Its slots pass unused from now on. @throws {FleetError} `REV_CONFLICT` */
  async pause(before: ScheduleDocument, by: string): Promise<ScheduleDocument> {
    return before.paused ? before : this.#change(before, { paused: true, nextAt: undefined }, by)
  }

  /** Its slots count again from now on. @throws {FleetError} `REV_CONFLICT` */
  async resume(before: ScheduleDocument, by: string): Promise<ScheduleDocument> {
    if (!before.paused) return before
    const nextAt = nextSlot(before, this.#deps.now()) ?? undefined
    return this.#change(before, { paused: false, nextAt }, by)
  }

  /** A task outside the slots, which stay as they are. @throws {FleetError} `UNSIGNED_TASK`, `BAD_SIGNATURE` */
  async run(schedule: ScheduleDocument): Promise<TaskDocument> {
    const refused = this.#signing.refusal('schedule', { ...schedule })
    if (refused !== undefined) throw refused
    const [task] = await this.#deps.store.enqueue([taskByHand(schedule, this.#deps.now())])
    await this.#schedules.updateOne({ _id: schedule._id, createdAt: schedule.createdAt }, [
      { $set: { lastTask: task!._id, updatedAt: NOW, rev: { $add: ['$rev', 1] } } },
    ])
    return task!
  }

  /** @throws {FleetError} `NOT_FOUND` */
  async find(name: string): Promise<ScheduleDocument> {
    const schedule = await this.#schedules.findOne({ _id: name })
    if (schedule === null) throw noSuchSchedule(name)
    return this.#gate.required('schedules', schedule)
  }

  /** By name. @param within what the caller may see */
  async list(within: Record<string, unknown> = {}, limit = 1_000): Promise<ScheduleDocument[]> {
    const found = this.#schedules
      .find(within as mongo.Filter<ScheduleDocument>)
      .sort({ _id: 1 })
      .limit(limit)
    return this.#gate.all('schedules', (await readBounded(found, limit)).docs)
  }

  /** What is queued already stays as it is. @returns whether there was one */
  async remove({ _id, createdAt }: ScheduleDocument): Promise<boolean> {
    return (await this.#schedules.deleteOne({ _id, createdAt })).deletedCount === 1
  }

  /**
   * Schedules whose next slot has come, in their order; also when the next one of all others comes.
   *
   * @param except those that failed before
   */
  async due(except: readonly string[] = []): Promise<{
    due: DueSchedule[]
    nextAt: Date | null
  }> {
    const left = [...except]
    let found: ScheduleDocument[]
    let page: ScheduleDocument[]
    do {
      page = await this.#schedules
        .find({ nextAt: { $gt: new Date(0) }, _id: { $nin: left } })
        .sort({ nextAt: 1 })
        .limit(DUE_PAGE)
        .toArray()
      found = page.filter((schedule) => this.#canRun(schedule))
      left.push(...page.filter((schedule) => !found.includes(schedule)).map(({ _id }) => _id))
      // A page of those that can't be understood says nothing about the others.
    } while (found.length === 0 && page.length === DUE_PAGE)
    const now = this.#deps.now()
    const isDue = ({ nextAt }: ScheduleDocument): boolean => nextAt !== undefined && nextAt <= now
    return {
      due: found.filter(isDue) as DueSchedule[],
      nextAt: found.find((schedule) => !isDue(schedule))?.nextAt ?? null,
    }
  }

  /** Its types are right, and its times can be read here. */
  #canRun(schedule: ScheduleDocument): boolean {
    if (!this.#gate.lets('schedules', schedule)) return false
    const refused = this.#signing.refusal('schedule', { ...schedule })
    try {
      if (refused !== undefined) throw refused
      nextSlot(schedule, this.#deps.now())
      return true
    } catch (error) {
      this.#gate.setAside.note('schedules', { ...schedule }, 'skipped', asError(error).message)
      return false
    }
  }

  /** The first of two steps: makes the tasks of the slots that have come. Repeating it changes nothing. */
  async fire(schedule: DueSchedule): Promise<Firing> {
    const planned = planFiring(schedule, this.#deps.now())
    const firing = (await this.#overlaps(planned)) ? leftOut(planned) : planned
    const tasks = firing.run.map((slot) => taskOfSlot(schedule, slot))
    await this.#deps.store.enqueue(tasks).catch((error: unknown) => {
      // Somebody made it as the schedule was before it was changed: the slot has its task.
      if (!(error instanceof FleetError) || error.code !== 'TASK_EXISTS') throw error
    })
    return firing
  }

  /** The second step: moves the schedule on, unless somebody has done so or changed it. @returns whether this did */
  async advance({ schedule, run, skipped, dropped, nextAt }: Firing): Promise<boolean> {
    const { _id, createdAt, edition } = schedule
    const last = run.at(-1)
    const { modifiedCount } = await this.#schedules.updateOne({ _id, createdAt, edition, nextAt: schedule.nextAt }, [
      {
        $set: {
          nextAt: nextAt ?? '$$REMOVE',
          ...(last === undefined ? {} : { lastSlot: last, lastTask: taskIdOf(schedule, last) }),
          ...(skipped === null ? {} : { lastSkipped: { $literal: skipped } }),
          updatedAt: NOW,
          rev: { $add: ['$rev', 1] },
        },
      },
    ])
    if (modifiedCount === 0) return false
    if (dropped !== null) {
      const reason = `The slots from ${dropped.from.toISOString()} to ${dropped.to.toISOString()} were missed; only the ${run.length} after them are made up for`
      await this.#deps.audit.record({ by: 'schedule', action: 'schedule drop', target: _id, matched: 1, reason })
    }
    return true
  }

  /** Whether a task of the schedule stands in the way; one that another worker has just made for the same slot does not. */
  async #overlaps({ schedule, run }: Firing): Promise<boolean> {
    if (schedule.overlap === 'allow' || run.length === 0) return false
    const own = run.map((slot) => taskIdOf(schedule, slot))
    const open = { schedule: schedule._id, status: { $in: [...OPEN_STATUSES] } }
    return (await this.#tasks.findOne({ ...open, _id: { $nin: own } }, { projection: { _id: 1 } })) !== null
  }

  /** @throws {FleetError} `REV_CONFLICT` */
  async #change(
    { _id, createdAt, edition }: ScheduleDocument,
    changes: Changes,
    by: string,
  ): Promise<ScheduleDocument> {
    const changed = await this.#schedules.findOneAndUpdate(
      { _id, createdAt, edition },
      [
        {
          $set: {
            ...literals(changes),
            by: { $literal: by },
            updatedAt: NOW,
            edition: { $add: ['$edition', 1] },
            rev: { $add: ['$rev', 1] },
          },
        },
      ],
      { returnDocument: 'after' },
    )
    if (changed !== null) return changed
    throw new FleetError('REV_CONFLICT', 'It was changed meanwhile; read it again', { field: 'edition' })
  }

  /** @throws {FleetError} `BAD_VALUE` when it would be over before it begins */
  #firstSlot(settings: Timing, now: Date): Date {
    const slot = nextSlot(settings, now)
    if (slot !== null) return slot
    throw new FleetError('BAD_VALUE', "No slot comes any more up to 'endsAt'", { field: 'endsAt' })
  }
}

/** A slot that is left out because a task of the schedule has not ended. */
function leftOut(firing: Firing): Firing {
  return { ...firing, run: [], skipped: { slot: firing.run.at(-1)!, reason: 'OVERLAP' } }
}

/** A period without a beginning is counted from now on. */
function withAnchor<S extends Timing>(settings: S, now: Date): S {
  return settings.every === undefined || settings.startsAt !== undefined ? settings : { ...settings, startsAt: now }
}

const SETTINGS = ['task', 'version', 'input', 'options', 'missed', 'overlap', 'paused', ...TIMING] as const

const sameSettings = (a: ScheduleSettings, b: ScheduleSettings): boolean =>
  SETTINGS.every((field) => isDeepStrictEqual(a[field], b[field]))

export const noSuchSchedule = (name: string): FleetError =>
  new FleetError('NOT_FOUND', `There is no schedule '${name}'`, { field: 'name' })
