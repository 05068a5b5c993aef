import { type CallbackRow, type CommandAnswer, type EventRow, type EventStatus, FleetError } from '@taskfleet/protocol'
import { pageSize } from '@taskfleet/protocol/internal'
import { type Principal, requireReach } from '../auth/key-store.ts'
import type { CallbackDocument } from '../events/event-document.ts'
import { parseCallback, parseEventChanges } from '../events/parse-event.ts'
import type { Fleet } from '../fleet.ts'
import { toRow, toWire } from '../live/wire.ts'
import { parseId } from '../task/new-task.ts'

const MOST = 1_000

/** Events and callbacks for somebody: within what the key may touch, and on record. */
export class EventCommands {
  readonly #fleet: Fleet
  readonly #principal: Principal

  constructor(fleet: Fleet, principal: Principal) {
    this.#fleet = fleet
    this.#principal = principal
  }

  /** Stores an event and a task for each of its callbacks. @throws {FleetError} as `Events.post`; `QUEUE_NOT_ALLOWED`, … */
  async post(request: unknown): Promise<EventRow> {
    const event = await this.#fleet.events.post(request, (task) => requireReach(this.#principal, task))
    return toRow<EventRow>('events', event as never)
  }

  /** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `FORBIDDEN` */
  async show(id: unknown): Promise<EventRow> {
    this.#requireUnlimited()
    return toRow<EventRow>('events', (await this.#fleet.events.find(parseId(id))) as never)
  }

  /** The newest first, or with `after` those behind it with the oldest first. @throws {FleetError} `FORBIDDEN` */
  async list(
    query: { name?: string; status?: EventStatus; after?: unknown; limit?: number } = {},
  ): Promise<EventRow[]> {
    this.#requireUnlimited()
    const { after, limit = 100, ...rest } = query
    const found = await this.#fleet.events.list({
      ...rest,
      limit: pageSize(limit, MOST),
      ...(after === undefined ? {} : { after: parseId(after, 'after') }),
    })
    return found.map((event) => toRow<EventRow>('events', event as never))
  }

  /**
   * Changes the date or priority of an event that has not begun, and of its tasks.
   * @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `BAD_REQUEST`, `UNKNOWN_FIELD`, `BAD_DATE`, `OUT_OF_RANGE`; `NOT_WAITING`
   */
  async edit(id: unknown, request: unknown): Promise<EventRow> {
    const { scheduledFor, priority } = parseEventChanges(request)
    const event = await this.#fleet.events.find(parseId(id))
    const control = this.#fleet.control(this.#principal)
    const changes = {
      ...(scheduledFor === undefined ? {} : { runAt: scheduledFor }),
      ...(priority === undefined ? {} : { priority }),
    }
    for (const task of event.tasks) await control.edit({ id: task.toHexString(), changes })
    return toRow<EventRow>(
      'events',
      (await this.#fleet.events.reschedule(event._id, { scheduledFor, priority })) as never,
    )
  }

  /** Cancels all tasks of an event that have not ended. @throws {FleetError} `BAD_ID`, `NOT_FOUND` */
  async cancel(id: unknown, reason?: string): Promise<CommandAnswer> {
    const { tasks } = await this.#fleet.events.find(parseId(id))
    const ids = tasks.map((task) => task.toHexString())
    if (ids.length === 0) return { matched: 0, changed: 0, refused: [] }
    return this.#fleet.control(this.#principal).cancel({ ids, ...(reason === undefined ? {} : { reason }) })
  }

  /** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `NOT_ENDED`, `FORBIDDEN` */
  async remove(id: unknown): Promise<void> {
    this.#requireUnlimited()
    await this.#fleet.events.remove(parseId(id))
    await this.#record('event remove', String(id))
  }

  /** @throws {FleetError} as `Callbacks.create` */
  async createCallback(request: unknown): Promise<CallbackRow> {
    const callback = parseCallback(request)
    requireReach(this.#principal, { name: callback.task, queue: callback.defaults.queue ?? 'default' })
    const created = await this.#fleet.callbacks.create(callback)
    await this.#record('callback create', created._id.toHexString())
    return callbackRow(created)
  }

  /** @throws {FleetError} as `Callbacks.edit` */
  async editCallback(id: unknown, changes: Record<string, unknown>, rev?: number): Promise<CallbackRow> {
    const before = await this.#callback(id)
    const { task = before.task, defaults = before.defaults } = changes as Partial<CallbackDocument>
    requireReach(this.#principal, { name: String(task), queue: defaults?.queue ?? 'default' })
    const edited = await this.#fleet.callbacks.edit(before._id, changes, rev)
    await this.#record('callback edit', edited._id.toHexString())
    return callbackRow(edited)
  }

  async showCallback(id: unknown): Promise<CallbackRow> {
    return callbackRow(await this.#callback(id))
  }

  async listCallbacks(query: { event?: string; limit?: number } = {}): Promise<CallbackRow[]> {
    const all = await this.#fleet.callbacks.list({ ...query, limit: pageSize(query.limit ?? MOST, MOST) })
    return all.filter((callback) => this.#mayTouch(callback)).map(callbackRow)
  }

  /** What is queued already stays as it is. @throws {FleetError} `BAD_ID`, `NOT_FOUND` */
  async removeCallback(id: unknown): Promise<void> {
    const { _id } = await this.#callback(id)
    await this.#fleet.callbacks.remove(_id)
    await this.#record('callback remove', _id.toHexString())
  }

  async #callback(id: unknown): Promise<CallbackDocument> {
    const callback = await this.#fleet.callbacks.find(parseId(id))
    requireReach(this.#principal, { name: callback.task, queue: callback.defaults.queue ?? 'default' })
    return callback
  }

  #mayTouch({ task, defaults }: CallbackDocument): boolean {
    const { queues, names } = this.#principal
    return (queues?.includes(defaults.queue ?? 'default') ?? true) && (names?.includes(task) ?? true)
  }

  /** An event may have tasks in any queue. @throws {FleetError} `FORBIDDEN` */
  #requireUnlimited(): void {
    const { queues, names } = this.#principal
    if (queues === undefined && names === undefined) return
    throw new FleetError('FORBIDDEN', 'A key that is limited to queues or names may not read or remove events')
  }

  async #record(action: string, target: string): Promise<void> {
    await this.#fleet.audit.record({ by: this.#principal.id, action, target, changed: 1 })
  }
}

const callbackRow = (callback: CallbackDocument): CallbackRow => toWire(callback) as CallbackRow
