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
  /** By default, it makes its own. */
  gate?: DocumentGate
  /** Signs schedules. By default, they are not signed. */
  signing?: Signing
  /** The server's time. */
  now: () => Date
}

const DUE_PAGE = 100
const TIMING: readonly (keyof Timing)[] = ['cron', 'every', 'timeZone', 'startsAt', 'endsAt']
/** The fields that an edit removes if the new settings don't have them. */
const ABSENT = { cron: undefined, every: undefined, startsAt: undefined, endsAt: undefined }
/** `undefined` removes a field. */
type Changes = { [Field in keyof ScheduleDocument]?: ScheduleDocument[Field] | undefined }

/**
 * Schedules and the tasks of their slots. There is no leader. Every process that sees a due slot stores its task, under an id
 * that is the same in all processes, and then moves the schedule on by one guarded write. So each slot gets exactly one task,
 * no matter how many processes see it and which of them die in between.
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

  /** Repeating it with the same settings does no harm. @throws {FleetError} as `parseSchedule`; `SCHEDULE_EXISTS` */
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
    throw new FleetError('SCHEDULE_EXISTS', `The schedule '${_id}' already exists with different settings`, {
      field: '_id',
    })
  }

  /** Moves the next slot only if its timing changes. @throws {FleetError} as `parseScheduleChanges`; `REV_CONFLICT` */
  async edit(before: ScheduleDocument, changes: unknown, by: string): Promise<ScheduleDocument> {
    const now = this.#deps.now()
    const settings = withAnchor(parseScheduleChanges(before, changes, now), now)
    const sameTime =
      TIMING.every((field) => isDeepStrictEqual(before[field], settings[field])) && before.paused === settings.paused
    const signature = this.#signing.signAgain('schedule', before, { _id: before._id, ...settings })
    const edited = { ...ABSENT, ...settings, ...given({ signature }) }
    if (sameTime) return this.#change(before, edited, by)
    const nextAt = settings.paused ? null : this.#firstSlot(settings, now)
    return this.#change(before, { ...edited, nextAt: nextAt ?? undefined }, by)
  }

  /** From now on, its slots make no tasks. @throws {FleetError} `REV_CONFLICT` */
  async pause(before: ScheduleDocument, by: string): Promise<ScheduleDocument> {
    return before.paused ? before : this.#change(before, { paused: true, nextAt: undefined }, by)
  }

  /** From now on, its slots make tasks again. @throws {FleetError} `REV_CONFLICT` */
  async resume(before: ScheduleDocument, by: string): Promise<ScheduleDocument> {
    if (!before.paused) return before
    const nextAt = nextSlot(before, this.#deps.now()) ?? undefined
    return this.#change(before, { paused: false, nextAt }, by)
  }

  /** Makes a task now. The slots stay the same. @throws {FleetError} `UNSIGNED_TASK`, `BAD_SIGNATURE` */
  async run(schedule: ScheduleDocument): Promise<TaskDocument> {
    const refused = this.#signing.refusal('schedule', schedule)
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

  /** Sorted by name. @param within a filter for what the caller may see */
  async list(within: Record<string, unknown> = {}, limit = 1_000): Promise<ScheduleDocument[]> {
    const found = this.#schedules
      .find(within as mongo.Filter<ScheduleDocument>)
      .sort({ _id: 1 })
      .limit(limit)
    return this.#gate.all('schedules', (await readBounded(found, limit)).docs)
  }

  /** Tasks that are already queued stay. @returns whether the schedule existed */
  async remove({ _id, createdAt }: ScheduleDocument): Promise<boolean> {
    return (await this.#schedules.deleteOne({ _id, createdAt })).deletedCount === 1
  }

  /**
   * The schedules whose next slot is due, in order, and the time of the next slot of all others.
   *
   * @param except the schedules that failed before
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
      // If all schedules of a page are malformed, the next page is read.
    } while (found.length === 0 && page.length === DUE_PAGE)
    const now = this.#deps.now()
    const isDue = ({ nextAt }: ScheduleDocument): boolean => nextAt !== undefined && nextAt <= now
    return {
      due: found.filter(isDue) as DueSchedule[],
      nextAt: found.find((schedule) => !isDue(schedule))?.nextAt ?? null,
    }
  }

  /** Whether the document is well-formed and this process can read its cron and time zone. */
  #canRun(schedule: ScheduleDocument): boolean {
    if (!this.#gate.lets('schedules', schedule)) return false
    const refused = this.#signing.refusal('schedule', schedule)
    try {
      if (refused !== undefined) throw refused
      nextSlot(schedule, this.#deps.now())
      return true
    } catch (error) {
      this.#gate.setAside.note('schedules', { ...schedule }, 'skipped', asError(error).message)
      return false
    }
  }

  /** The first of two steps: makes the tasks of the due slots. Repeating it does no harm. */
  async fire(schedule: DueSchedule): Promise<Firing> {
    const planned = planFiring(schedule, this.#deps.now())
    const firing = (await this.#overlaps(planned)) ? leftOut(planned) : planned
    const tasks = firing.run.map((slot) => taskOfSlot(schedule, slot))
    await this.#deps.store.enqueue(tasks).catch((error: unknown) => {
      // Another process made the slot's task from the schedule's earlier settings, so the slot has its task.
      if (!(error instanceof FleetError) || error.code !== 'TASK_EXISTS') throw error
    })
    return firing
  }

  /** The second step: moves the schedule on, unless another process has moved or changed it. @returns whether this call did */
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
      const reason = `The slots from ${dropped.from.toISOString()} to ${dropped.to.toISOString()} were missed; only the ${run.length} after them get a task`
      await this.#deps.audit.record({ by: 'schedule', action: 'schedule drop', target: _id, matched: 1, reason })
    }
    return true
  }

  /** Whether an open task of the schedule blocks this slot. A task that another worker has just made for the same slot does not. */
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
    throw new FleetError('REV_CONFLICT', 'The schedule was changed in the meantime; read it again', {
      field: 'edition',
    })
  }

  /** @throws {FleetError} `BAD_VALUE` when no slot is left before `endsAt` */
  #firstSlot(settings: Timing, now: Date): Date {
    const slot = nextSlot(settings, now)
    if (slot !== null) return slot
    throw new FleetError('BAD_VALUE', "There is no slot left up to 'endsAt'", { field: 'endsAt' })
  }
}

/** Skips the slots because a task of the schedule has not ended. */
function leftOut(firing: Firing): Firing {
  return { ...firing, run: [], skipped: { slot: firing.run.at(-1)!, reason: 'OVERLAP' } }
}

/** Without `startsAt`, a period is counted from now on. */
function withAnchor<S extends Timing>(settings: S, now: Date): S {
  return settings.every === undefined || settings.startsAt !== undefined ? settings : { ...settings, startsAt: now }
}

const SETTINGS = ['task', 'version', 'input', 'options', 'missed', 'overlap', 'paused', ...TIMING] as const

const sameSettings = (a: ScheduleSettings, b: ScheduleSettings): boolean =>
  SETTINGS.every((field) => isDeepStrictEqual(a[field], b[field]))

export const noSuchSchedule = (name: string): FleetError =>
  new FleetError('NOT_FOUND', `There is no schedule '${name}'`, { field: 'name' })
