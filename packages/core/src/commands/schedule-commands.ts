import type { StandardSchemaV1 } from '@standard-schema/spec'
import {
  FleetError,
  type ScheduleFields,
  type ScheduleRow,
  type TaskRow,
  type TimingRequest,
} from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { reaches, requireReach, visibleTo } from '../auth/reach.ts'
import { toFullRow, toRow } from '../live/wire.ts'
import {
  parseSchedule,
  parseScheduleChanges,
  parseScheduleName,
  parseTiming,
  settingsToReplace,
} from '../schedules/parse-schedule.ts'
import type { ScheduleDocument } from '../schedules/schedule-document.ts'
import { noSuchSchedule } from '../schedules/schedules.ts'
import { nextSlots } from '../schedules/slots.ts'
import { checkRequest, type TaskType } from '../task/check-input.ts'
import { Commands, unlessMissing } from './commands.ts'

/** A request to make a schedule. Its task is given by name, or by a definition that has the type of the input. */
export type ScheduleRequest<Schema extends StandardSchemaV1 = StandardSchemaV1> =
  | (ScheduleFields & { task: string; version?: number; input?: unknown })
  | (ScheduleFields & { task: TaskType<Schema>; input: StandardSchemaV1.InferInput<Schema> })

/** Schedules, within the key's reach. Every change is in the audit log. */
export class ScheduleCommands extends Commands<'schedules' | 'handlers' | 'database'> {
  /**
   * Repeating it with the same settings does no harm.
   *
   * @throws {FleetError} `SCHEDULE_EXISTS`; `BAD_CRON`, `BAD_EVERY`, `BAD_TIME_ZONE`, `BAD_NAME`, `BAD_VALUE` and other codes for
   *   invalid settings; `INPUT_INVALID`; `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED`
   */
  async create<Schema extends StandardSchemaV1>(request: ScheduleRequest<Schema>): Promise<ScheduleRow> {
    const asked = await named(request)
    const parsed = parseSchedule(asked, this.parts.database.clock.now())
    this.#requireReach(parsed)
    await this.#checkInput(parsed)
    const created = await this.parts.schedules.create(asked, this.principal.id)
    await this.record('schedule create', { target: created._id, matched: 1 })
    return fullRow(created)
  }

  /**
   * Changes the given settings. `null` removes an optional setting. Tasks that are already queued stay.
   *
   * @param edition if given, the edit fails if the schedule has been changed since this edition
   * @throws {FleetError} as `create`; `NOT_FOUND`, `REV_CONFLICT`
   */
  async edit({ name, changes, edition }: { name: unknown; changes: object; edition?: number }): Promise<ScheduleRow> {
    const before = await this.#find(name)
    if (edition !== undefined && edition !== before.edition) {
      throw new FleetError(
        'REV_CONFLICT',
        `The schedule was changed in the meantime and is at edition ${before.edition}`,
        {
          field: 'edition',
        },
      )
    }
    const parsed = parseScheduleChanges(before, changes as Record<string, unknown>, this.parts.database.clock.now())
    this.#requireReach(parsed)
    if ('input' in changes || 'task' in changes || 'version' in changes) await this.#checkInput(parsed)
    const edited = await this.parts.schedules.edit(before, changes as Record<string, unknown>, this.principal.id)
    await this.record('schedule edit', { target: edited._id, matched: 1 })
    return fullRow(edited)
  }

  /** Replaces all settings: omitted ones get their defaults. @throws {FleetError} as `create` and `edit` */
  async replace({
    name,
    schedule,
    edition,
  }: {
    name: string
    schedule: object
    edition?: number
  }): Promise<ScheduleRow> {
    const _id = parseScheduleName(name)
    const there = await this.parts.schedules.find(_id).catch(unlessMissing)
    const wanted = parseSchedule({ ...schedule, _id }, this.parts.database.clock.now())
    this.#requireReach(wanted)
    if (there === null) return this.create({ ...schedule, _id } as ScheduleRequest)
    return this.edit({ name, changes: settingsToReplace(schedule), ...given({ edition }) })
  }

  /** Its slots make no tasks until it is resumed. @throws {FleetError} `NOT_FOUND`, `REV_CONFLICT` */
  async pause({ name, reason }: { name: unknown; reason?: string }): Promise<ScheduleRow> {
    const paused = await this.parts.schedules.pause(await this.#find(name), this.principal.id)
    await this.record('schedule pause', { target: paused._id, matched: 1, reason })
    return fullRow(paused)
  }

  /** Goes on with the next slot from now. @throws {FleetError} `NOT_FOUND`, `REV_CONFLICT` */
  async resume({ name, reason }: { name: unknown; reason?: string }): Promise<ScheduleRow> {
    const resumed = await this.parts.schedules.resume(await this.#find(name), this.principal.id)
    await this.record('schedule resume', { target: resumed._id, matched: 1, reason })
    return fullRow(resumed)
  }

  /** Makes a task now, even if the schedule is paused. The next slot stays the same. @throws {FleetError} `NOT_FOUND` */
  async run({ name, reason }: { name: unknown; reason?: string }): Promise<TaskRow> {
    const schedule = await this.#find(name)
    const task = await this.parts.schedules.run(schedule)
    await this.record('schedule run', { tasks: [task._id], target: schedule._id, reason })
    return toFullRow<TaskRow>('tasks', task)
  }

  /** Tasks that are already queued stay. @throws {FleetError} `NOT_FOUND` */
  async remove({ name }: { name: unknown }): Promise<void> {
    const schedule = await this.#find(name)
    if (await this.parts.schedules.remove(schedule))
      await this.record('schedule remove', { target: schedule._id, matched: 1 })
  }

  /** @throws {FleetError} `NOT_FOUND`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
  async show({ name }: { name: unknown }): Promise<ScheduleRow> {
    return fullRow(await this.#find(name))
  }

  /** Sorted by name, without inputs. */
  async list({ limit }: { limit?: number } = {}): Promise<ScheduleRow[]> {
    const within = visibleTo(this.principal, 'schedules')
    const found = await this.parts.schedules.list(within, limit)
    return found.map((schedule) => toRow<ScheduleRow>('schedules', schedule as never))
  }

  /**
   * The next slots of a timing, whether or not a schedule has it.
   *
   * @throws {FleetError} `BAD_CRON`, `BAD_EVERY`, `BAD_TIME_ZONE`, `BAD_DATE`, `BAD_VALUE`
   */
  async preview({ count = 5, ...timing }: TimingRequest & { count?: number }): Promise<string[]> {
    const now = this.parts.database.clock.now()
    const parsed = parseTiming(timing, now)
    const anchored = parsed.every === undefined || parsed.startsAt !== undefined ? parsed : { ...parsed, startsAt: now }
    return nextSlots(anchored, now, count).map((slot) => slot.toISOString())
  }

  async #find(name: unknown): Promise<ScheduleDocument> {
    const schedule = await this.parts.schedules.find(parseScheduleName(name))
    const { task, options } = schedule
    if (reaches(this.principal, { name: task, queue: options.queue })) return schedule
    // Names can be guessed, so a key gets the same error for schedules out of its reach as for missing ones.
    throw noSuchSchedule(schedule._id)
  }

  /** @throws {FleetError} `INPUT_INVALID` */
  async #checkInput({
    task: name,
    version,
    input,
    options: { queue },
  }: Pick<ScheduleDocument, 'task' | 'version' | 'input' | 'options'>): Promise<void> {
    await this.parts.handlers.check({ name, version, queue, input })
  }

  #requireReach({ task, options }: Pick<ScheduleDocument, 'task' | 'options'>): void {
    requireReach(this.principal, { name: task, queue: options.queue })
  }
}

/** A request with its task by name. @throws {FleetError} `INPUT_INVALID` */
async function named(request: ScheduleRequest): Promise<unknown> {
  const type: unknown = (request as { task?: unknown } | null | undefined)?.task
  if (!isTaskType(type)) return request
  const { input, options } = request
  await checkRequest(type.input, input)
  return { ...request, task: type.name, version: type.version, options: { ...type.defaults, ...options } }
}

function isTaskType(task: unknown): task is TaskType {
  return typeof (task as Partial<TaskType> | null | undefined)?.input?.['~standard']?.validate === 'function'
}

const fullRow = (schedule: ScheduleDocument): ScheduleRow => toFullRow<ScheduleRow>('schedules', schedule)
