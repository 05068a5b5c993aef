import type { CallbackRow } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { reaches } from '../auth/reach.ts'
import { noSuchCallback } from '../events/callbacks.ts'
import type { CallbackDocument } from '../events/event-document.ts'
import { parseCallback } from '../events/parse-event.ts'
import { toWire } from '../live/wire.ts'
import { parseId } from '../task/parse-value.ts'
import { Commands, unlessMissing } from './commands.ts'

const MAKE = 'make or change callbacks'

/**
 * Callbacks: which task runs when which event arrives. The task's input is the event's content, so a key that may not read events
 * may not make or change callbacks.
 */
export class CallbackCommands extends Commands<'callbacks'> {
  /** @throws {FleetError} as `Callbacks.create` */
  async create(request: unknown): Promise<CallbackRow> {
    this.requireUnlimited(MAKE)
    const callback = parseCallback(request)
    const created = await this.parts.callbacks.create(callback)
    await this.record('callback create', { target: created._id.toHexString(), changed: 1 })
    return callbackRow(created)
  }

  /** @throws {FleetError} as `Callbacks.edit` */
  async edit({ id, changes, rev }: { id: unknown; changes: unknown; rev?: number }): Promise<CallbackRow> {
    this.requireUnlimited(MAKE)
    const before = await this.#callback(id)
    const edited = await this.parts.callbacks.edit(before._id, changes as Record<string, unknown>, rev)
    await this.record('callback edit', { target: edited._id.toHexString(), changed: 1 })
    return callbackRow(edited)
  }

  async show({ id }: { id: unknown }): Promise<CallbackRow> {
    return callbackRow(await this.#callback(id))
  }

  async list(query: { event?: string; limit?: number } = {}): Promise<CallbackRow[]> {
    const all = await this.parts.callbacks.list(query)
    return all.filter((callback) => reaches(this.principal, target(callback))).map(callbackRow)
  }

  /** Replaces the whole callback: omitted fields get their defaults. @throws {FleetError} as `create` and `edit` */
  async replace({ id, callback, rev }: { id: unknown; callback: unknown; rev?: number }): Promise<CallbackRow> {
    this.requireUnlimited(MAKE)
    const _id = parseId(id)
    const { _id: __, ...wanted } = parseCallback({ ...(callback as object), _id })
    const there = await this.parts.callbacks.find(_id).catch(unlessMissing)
    if (there === null) return this.create({ ...(callback as object), _id: _id.toHexString() })
    return this.edit({ id, changes: wanted, ...given({ rev }) })
  }

  /** Tasks that are already queued stay. @throws {FleetError} `BAD_ID`, `NOT_FOUND` */
  async remove({ id }: { id: unknown }): Promise<void> {
    const { _id } = await this.#callback(id)
    await this.parts.callbacks.remove(_id)
    await this.record('callback remove', { target: _id.toHexString(), changed: 1 })
  }

  async #callback(id: unknown): Promise<CallbackDocument> {
    const callback = await this.parts.callbacks.find(parseId(id))
    if (reaches(this.principal, target(callback))) return callback
    throw noSuchCallback()
  }
}

/** The task that a callback makes. */
const target = ({ task, defaults }: CallbackDocument): { name: string; queue: string } => ({
  name: task,
  queue: defaults.queue ?? 'default',
})

const callbackRow = ({ signature: _, ...callback }: CallbackDocument): CallbackRow => toWire(callback) as CallbackRow
