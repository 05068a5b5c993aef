import type { CallbackRow, CommandAnswer, EventRow, KeyRow, WireError } from '@taskfleet/core/protocol'
import type { CallbackFields, FleetRest, KeyChanges, KeyFields, NewEvent } from '../live/rest.ts'
import { type FakeFleet, Refusal } from './fake-fleet.ts'
import { aCallback, aKey, anEvent, aTask, iso, nextId } from './rows.ts'

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

  putKey(key: KeyRow): KeyRow {
    this.keyring.set(key.id, key)
    return key
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
