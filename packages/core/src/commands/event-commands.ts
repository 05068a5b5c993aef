import { type CommandAnswer, type EventRow, type EventStatus, FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { visibleTo } from '../auth/reach.ts'
import type { EventDocument } from '../events/event-document.ts'
import { parseEventChanges } from '../events/parse-event.ts'
import { toRow } from '../live/wire.ts'
import { parseId } from '../task/parse-value.ts'
import { Commands } from './commands.ts'

/**
 * Events, each with a task for every callback of its name. Their documents have no queue. So a limited key may post events, and
 * change those with all tasks in its reach, but it may not read any.
 */
export class EventCommands extends Commands<'events' | 'store' | 'control' | 'tasks'> {
  /** Stores an event and a task for each of its callbacks. @throws {FleetError} as `Events.post` */
  async post(request: unknown): Promise<EventRow> {
    const knowsOthers = visibleTo(this.principal) === undefined
    return this.#shown(await this.parts.events.post(request, { by: this.by, knowsOthers }))
  }

  /** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `FORBIDDEN` */
  async show({ id }: { id: unknown }): Promise<EventRow> {
    this.requireUnlimited('read or remove events')
    return toRow<EventRow>('events', (await this.parts.events.find(parseId(id))) as never)
  }

  /** The newest first; with `after`, the events after it, the oldest first. @throws {FleetError} `FORBIDDEN` */
  async list(
    query: { name?: string; status?: EventStatus; after?: unknown; limit?: number } = {},
  ): Promise<EventRow[]> {
    this.requireUnlimited('read or remove events')
    const { after, ...rest } = query
    const found = await this.parts.events.list({
      ...rest,
      ...(after === undefined ? {} : { after: parseId(after, 'after') }),
    })
    return found.map((event) => toRow<EventRow>('events', event as never))
  }

  /**
   * Changes the date or priority of an event that hasn't begun, and of its tasks.
   * @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `BAD_REQUEST`, `UNKNOWN_FIELD`, `BAD_DATE`, `OUT_OF_RANGE`; `NOT_WAITING`
   */
  async edit({ id, changes: asked }: { id: unknown; changes: unknown }): Promise<EventRow> {
    const { scheduledFor, priority } = parseEventChanges(asked)
    const event = await this.#reachable(id)
    const control = this.parts.control(this.principal)
    const changes = given({ runAt: scheduledFor, priority })
    for (const task of event.tasks) await control.edit({ id: task.toHexString(), changes })
    return toRow<EventRow>(
      'events',
      (await this.parts.events.reschedule(event._id, { scheduledFor, priority })) as never,
    )
  }

  /** Cancels all tasks of an event that have not ended. @throws {FleetError} `BAD_ID`, `NOT_FOUND` */
  async cancel({ id, reason }: { id: unknown; reason?: string }): Promise<CommandAnswer> {
    const { tasks } = await this.#reachable(id)
    const ids = tasks.map((task) => task.toHexString())
    if (ids.length === 0) return { matched: 0, changed: 0, refused: [] }
    return this.parts.control(this.principal).cancel({ ids, ...given({ reason }) })
  }

  /** Completed tasks stay as they are. @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
  async retry({ id, reason }: { id: unknown; reason?: string }): Promise<CommandAnswer> {
    const { tasks } = await this.#reachable(id)
    const ids = tasks.map((task) => task.toHexString())
    const answer = await this.parts.control(this.principal).retry({ ids, ...given({ reason }) })
    return { ...answer, refused: answer.refused.filter(({ error }) => error.code !== 'ALREADY_COMPLETED') }
  }

  /** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `NOT_ENDED`, `FORBIDDEN` */
  async remove({ id }: { id: unknown }): Promise<void> {
    this.requireUnlimited('read or remove events')
    await this.parts.events.remove(parseId(id))
    await this.record('event remove', { target: String(id), changed: 1 })
  }

  /** Out of its reach, a limited key gets the same error as for missing events. @throws {FleetError} `BAD_ID`, `NOT_FOUND` */
  async #reachable(id: unknown): Promise<EventDocument> {
    const event = await this.parts.events.find(parseId(id))
    const reachable = await this.#withinReach(event)
    if (reachable === null || (reachable.size > 0 && reachable.size === event.tasks.length)) return event
    throw new FleetError('NOT_FOUND', 'There is no such event', { field: 'id' })
  }

  /** The row without the tasks that the key can't reach, and without their results. */
  async #shown(event: EventDocument): Promise<EventRow> {
    const reachable = await this.#withinReach(event)
    const within = (task: { toHexString(): string }): boolean => reachable?.has(task.toHexString()) !== false
    const { tasks, results } = event
    const shown = {
      ...event,
      tasks: tasks.filter(within),
      ...(results === undefined ? {} : { results: results.filter(({ task }) => within(task)) }),
    }
    return toRow<EventRow>('events', shown as never)
  }

  /** The event's tasks that a limited key can reach; null for a key that is not limited. */
  async #withinReach({ tasks }: EventDocument): Promise<Set<string> | null> {
    const visible = visibleTo(this.principal)
    if (visible === undefined) return null
    const found = await this.parts.tasks.find({ _id: { $in: tasks }, ...visible }, { projection: { _id: 1 } }).toArray()
    return new Set(found.map(({ _id }) => _id.toHexString()))
  }
}
