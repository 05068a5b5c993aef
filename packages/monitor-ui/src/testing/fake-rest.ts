import type {
  CallbackRow,
  CommandAnswer,
  EventRow,
  KeyRow,
  QueueLimits,
  QueueRow,
  ScheduleRow,
  SetAsideRow,
  TaskRow,
  WireError,
} from '@taskfleet/protocol'
import type {
  CallbackFields,
  FleetRest,
  KeyChanges,
  KeyFields,
  NewEvent,
  ScheduleFields,
  Timing,
} from '../live/rest.ts'
import { type FakeFleet, Refusal } from './fake-fleet.ts'
import { aCallback, aKey, anEvent, aSchedule, aTask, iso, nextId } from './rows.ts'

/** The REST side of a fake fleet: callbacks in memory, events with their tasks in the fleet. */
export class FakeRest implements FleetRest {
  readonly known = new Map<string, CallbackRow>()
  readonly keyring = new Map<string, KeyRow>()
  /** Every event, callback and key that was sent. */
  readonly sent: object[] = []
  /** What the next write answers instead of doing it. */
  refuseNext: WireError | undefined
  readonly #fleet: FakeFleet

  constructor(fleet: FakeFleet) {
    this.#fleet = fleet
  }

  put(callback: CallbackRow): CallbackRow {
    this.known.set(callback._id, callback)
    return callback
  }

  async postEvent(request: NewEvent): Promise<EventRow> {
    await this.#write(request)
    const at = iso(this.#fleet.now())
    const { _id, name, props, scheduledFor = at, priority } = request
    const called = [...this.known.values()].filter(({ event }) => event === name)
    const tasks = called.map(({ task, version, defaults }) =>
      this.#fleet.put(
        aTask.pending({
          _id: nextId(),
          name: task,
          version,
          input: { ...defaults.input, ...props },
          queue: defaults.queue ?? 'default',
          priority: priority ?? defaults.priority ?? 5,
          runAt: scheduledFor,
          event: _id,
        }),
      ),
    )
    const stored = {
      _id,
      name,
      props,
      scheduledFor,
      tasks: tasks.map((task) => task._id),
      createdAt: at,
      updatedAt: at,
    }
    const asked = priority === undefined ? stored : { ...stored, priority }
    return this.#fleet.putEvent(
      called.length === 0
        ? anEvent.finished({ ...asked, results: [], processedAt: at })
        : anEvent.scheduled({ ...asked }),
    )
  }

  async cancelEvent(id: string, reason?: string): Promise<CommandAnswer> {
    await this.#write({ cancel: id, ...(reason !== undefined && { reason }) })
    const event = this.#event(id)
    const answer = await this.#fleet.cancel({ ids: event.tasks, ...(reason !== undefined && { reason }) })
    this.#fleet.putEvent({ ...event, status: 'cancelled', processedAt: iso(this.#fleet.now()), rev: event.rev + 1 })
    return answer
  }

  async removeEvent(id: string): Promise<void> {
    await this.#write({ remove: id })
    this.#fleet.removeEvent(this.#event(id)._id)
  }

  async callbacks(): Promise<CallbackRow[]> {
    await Promise.resolve()
    return [...this.known.values()]
  }

  async createCallback(callback: CallbackFields & { _id: string }): Promise<CallbackRow> {
    await this.#write(callback)
    return this.put(aCallback(callback, this.#fleet.now()))
  }

  async editCallback(id: string, { rev, ...changes }: CallbackFields & { rev: number }): Promise<CallbackRow> {
    await this.#write({ edit: id, rev, ...changes })
    const before = this.#callback(id)
    if (before.rev !== rev) {
      throw new Refusal({ code: 'REV_CONFLICT', message: 'It was changed meanwhile; read it again', field: 'rev' })
    }
    return this.put({ ...before, ...changes, rev: rev + 1 })
  }

  async removeCallback(id: string): Promise<void> {
    await this.#write({ remove: id })
    this.known.delete(this.#callback(id)._id)
  }

  async schedule(name: string): Promise<ScheduleRow> {
    await Promise.resolve()
    return this.#schedule(name)
  }

  async createSchedule({ _id, ...fields }: ScheduleFields & { _id: string }): Promise<ScheduleRow> {
    await this.#write({ _id, ...fields })
    if (this.#fleet.schedules.has(_id)) {
      throw new Refusal({ code: 'SCHEDULE_EXISTS', message: `There is a schedule '${_id}'`, field: '_id' })
    }
    return this.#fleet.putSchedule(this.#withFields(aSchedule({ _id }, this.#fleet.now()), fields))
  }

  async editSchedule(name: string, changes: ScheduleFields & { edition: number }): Promise<ScheduleRow> {
    await this.#write({ edit: name, ...changes })
    const before = this.#schedule(name)
    const { edition, ...fields } = changes
    if (edition !== before.edition) {
      throw new Refusal({ code: 'REV_CONFLICT', message: 'It was changed meanwhile', field: 'edition' })
    }
    const { edition: seen, rev } = before
    return this.#fleet.putSchedule({ ...this.#withFields(before, fields), edition: seen + 1, rev: rev + 1 })
  }

  async pauseSchedule(name: string): Promise<ScheduleRow> {
    await this.#write({ pause: name })
    const { nextAt: _, ...rest } = this.#schedule(name)
    return this.#fleet.putSchedule({ ...rest, paused: true, rev: rest.rev + 1 })
  }

  async resumeSchedule(name: string): Promise<ScheduleRow> {
    await this.#write({ resume: name })
    const before = this.#schedule(name)
    return this.#fleet.putSchedule({ ...before, paused: false, nextAt: this.#slot(1), rev: before.rev + 1 })
  }

  async runSchedule(name: string): Promise<TaskRow> {
    await this.#write({ run: name })
    const before = this.#schedule(name)
    const made = aTask.pending({ name: before.task, queue: before.options.queue, schedule: name }, this.#fleet.now())
    this.#fleet.putSchedule({ ...before, lastTask: made._id, rev: before.rev + 1 })
    return this.#fleet.put(made)
  }

  async removeSchedule(name: string): Promise<void> {
    await this.#write({ remove: name })
    this.#fleet.removeSchedule(this.#schedule(name)._id)
  }

  /** As if every timing were daily; a cron that asks for hour 25 is none. */
  async previewSchedule({ cron }: Timing, count: number): Promise<string[]> {
    await Promise.resolve()
    if (cron?.split(' ')[1] === '25') {
      throw new Refusal({ code: 'BAD_CRON', message: "'25' can't be its hour", field: 'cron' })
    }
    return Array.from({ length: count }, (_, day) => this.#slot(day + 1))
  }

  #slot(days: number): string {
    return iso(Math.ceil(this.#fleet.now() / 86_400_000 + days) * 86_400_000)
  }

  #withFields(before: ScheduleRow, { options, every: _, ...fields }: ScheduleFields): ScheduleRow {
    const given = <T extends object>(all: T): T =>
      Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) as T
    const row = { ...before, ...given(fields), options: { ...before.options, ...given(options) } }
    return row as ScheduleRow
  }

  #schedule(name: string): ScheduleRow {
    const schedule = this.#fleet.schedules.get(name)
    if (schedule !== undefined) return schedule
    throw new Refusal({ code: 'NOT_FOUND', message: 'There is no such schedule', field: 'name' })
  }

  async limitQueue(queue: string, limits: QueueLimits): Promise<QueueRow> {
    await this.#write({ limit: queue, ...limits })
    const before = this.#fleet.queues.get(queue)
    const merged = Object.entries({ ...before, ...limits }).filter(([, value]) => value !== null)
    return this.#fleet.putQueue({
      ...(Object.fromEntries(merged) as Partial<QueueRow>),
      _id: queue,
      paused: before?.paused ?? false,
      by: 'local',
      updatedAt: iso(this.#fleet.now()),
      rev: (before?.rev ?? 0) + 1,
    })
  }

  putKey(key: KeyRow): KeyRow {
    this.keyring.set(key.id, key)
    return key
  }

  /** What does not fit; tests say so. */
  misfits: SetAsideRow[] = []

  async setAside(): Promise<SetAsideRow[]> {
    await Promise.resolve()
    return this.misfits
  }

  async keys(): Promise<KeyRow[]> {
    await Promise.resolve()
    return [...this.keyring.values()]
  }

  async createKey(key: KeyFields): Promise<{ id: string; token: string }> {
    await this.#write(key)
    const { id } = this.putKey(aKey(key, this.#fleet.now()))
    return { id, token: `tf_${id}_${'s'.repeat(43)}` }
  }

  async editKey(id: string, changes: KeyChanges): Promise<KeyRow> {
    await this.#write({ edit: id, ...changes })
    const wanted = Object.entries({ ...this.#key(id), ...changes }).filter(([, value]) => value !== null)
    return this.putKey(Object.fromEntries(wanted) as unknown as KeyRow)
  }

  async revokeKey(id: string): Promise<void> {
    await this.#write({ revoke: id })
    this.putKey({ ...this.#key(id), state: 'revoked', revokedAt: iso(this.#fleet.now()) })
  }

  #key(id: string): KeyRow {
    const key = this.keyring.get(id)
    if (key === undefined) throw new Refusal({ code: 'NOT_FOUND', message: 'There is no such key', field: 'id' })
    return key
  }

  async #write(request: object): Promise<void> {
    await Promise.resolve()
    this.sent.push(request)
    const error = this.refuseNext
    this.refuseNext = undefined
    if (error !== undefined) throw new Refusal(error)
  }

  #event(id: string): EventRow {
    const event = this.#fleet.events.get(id)
    if (event === undefined) throw new Refusal({ code: 'NOT_FOUND', message: 'There is no such event', field: 'id' })
    return event
  }

  #callback(id: string): CallbackRow {
    const callback = this.known.get(id)
    if (callback === undefined) {
      throw new Refusal({ code: 'NOT_FOUND', message: 'There is no such callback', field: 'id' })
    }
    return callback
  }
}
