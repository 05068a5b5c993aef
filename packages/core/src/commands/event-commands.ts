import type { CommandAnswer, EventRow, EventStatus } from '@taskfleet/protocol'
import { given, pageSize } from '@taskfleet/protocol/internal'
import { requireReach } from '../auth/key-store.ts'
import { parseEventChanges } from '../events/parse-event.ts'
import { toRow } from '../live/wire.ts'
import { parseId } from '../task/new-task.ts'
import { Commands } from './commands.ts'

const MOST = 1_000

/** Events, each with a task for every callback of its name. */
export class EventCommands extends Commands<'events' | 'store' | 'control'> {
  /** Stores an event and a task for each of its callbacks. @throws {FleetError} as `Events.post`; `QUEUE_NOT_ALLOWED`, … */
  async post(request: unknown): Promise<EventRow> {
    const event = await this.parts.events.post(request, (task) => requireReach(this.principal, task))
    return toRow<EventRow>('events', event as never)
  }

  /** @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `FORBIDDEN` */
  async show({ id }: { id: unknown }): Promise<EventRow> {
    this.requireUnlimited('read or remove events')
    return toRow<EventRow>('events', (await this.parts.events.find(parseId(id))) as never)
  }

  /** The newest first, or with `after` those behind it with the oldest first. @throws {FleetError} `FORBIDDEN` */
  async list(
    query: { name?: string; status?: EventStatus; after?: unknown; limit?: number } = {},
  ): Promise<EventRow[]> {
    this.requireUnlimited('read or remove events')
    const { after, limit = 100, ...rest } = query
    const found = await this.parts.events.list({
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
  async edit({ id, changes: asked }: { id: unknown; changes: unknown }): Promise<EventRow> {
    const { scheduledFor, priority } = parseEventChanges(asked)
    const event = await this.parts.events.find(parseId(id))
    const control = this.parts.control(this.principal)
    const changes = {
      ...given({ runAt: scheduledFor, priority }),
    }
    for (const task of event.tasks) await control.edit({ id: task.toHexString(), changes })
    return toRow<EventRow>(
      'events',
      (await this.parts.events.reschedule(event._id, { scheduledFor, priority })) as never,
    )
  }

  /** Cancels all tasks of an event that have not ended. @throws {FleetError} `BAD_ID`, `NOT_FOUND` */
  async cancel({ id, reason }: { id: unknown; reason?: string }): Promise<CommandAnswer> {
    const { tasks } = await this.parts.events.find(parseId(id))
    const ids = tasks.map((task) => task.toHexString())
    if (ids.length === 0) return { matched: 0, changed: 0, refused: [] }
    return this.parts.control(this.principal).cancel({ ids, ...given({ reason }) })
  }

  /** Completed tasks stay as they are. @throws {FleetError} `BAD_ID`, `NOT_FOUND`, `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
  async retry({ id, reason }: { id: unknown; reason?: string }): Promise<CommandAnswer> {
    const { tasks } = await this.parts.events.find(parseId(id))
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
}
