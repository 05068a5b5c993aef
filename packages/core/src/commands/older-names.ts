import type { StandardSchemaV1 } from '@standard-schema/spec'
import type {
  CallbackRequest,
  EventChanges,
  FleetOperations,
  KeyEdit,
  NewSchedule,
  PruneRequest,
  ScheduleChanges,
  ScheduleRow,
  TimingRequest,
} from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { ScheduleRequest } from './schedule-commands.ts'

/*
 * The operations under their older names and arguments, from before the table of operations, so that older programs keep working.
 */

export type EventCalls = ReturnType<typeof eventCalls>
export const eventCalls = ({ events, callbacks }: FleetOperations) => ({
  post: events.post,
  list: events.list,
  show: (id: string) => events.show({ id }),
  edit: (id: string, changes: EventChanges) => events.edit({ id, changes }),
  cancel: (id: string, reason?: string) => events.cancel({ id, ...given({ reason }) }),
  remove: (id: string) => events.remove({ id }),
  createCallback: callbacks.create,
  listCallbacks: callbacks.list,
  showCallback: (id: string) => callbacks.show({ id }),
  editCallback: (id: string, changes: Partial<CallbackRequest>, rev?: number) =>
    callbacks.edit({ id, changes, ...given({ rev }) }),
  removeCallback: (id: string) => callbacks.remove({ id }),
})

export type ScheduleCalls = ReturnType<typeof scheduleCalls>
export const scheduleCalls = ({ schedules }: FleetOperations) => ({
  /** `task` is a name or a task's definition. The definition's schema checks the input. */
  create: <Schema extends StandardSchemaV1>(request: ScheduleRequest<Schema>): Promise<ScheduleRow> =>
    schedules.create(request as NewSchedule),
  list: schedules.list,
  show: (name: string) => schedules.show({ name }),
  edit: (name: string, changes: ScheduleChanges, edition?: number) =>
    schedules.edit({ name, changes, ...given({ edition }) }),
  pause: (name: string, reason?: string) => schedules.pause({ name, ...given({ reason }) }),
  resume: (name: string, reason?: string) => schedules.resume({ name, ...given({ reason }) }),
  run: (name: string, reason?: string) => schedules.run({ name, ...given({ reason }) }),
  remove: (name: string) => schedules.remove({ name }),
  preview: (timing: TimingRequest, count = 5) => schedules.preview({ ...timing, count }),
})

export type KeyCalls = ReturnType<typeof keyCalls>
export const keyCalls = ({ keys }: FleetOperations) => ({
  ...keys,
  edit: (id: string, changes: KeyEdit) => keys.edit({ id, changes }),
})

export type UpkeepCalls = ReturnType<typeof upkeepCalls>
export const upkeepCalls = ({ retention }: FleetOperations) => ({
  retention: retention.show,
  setRetention: retention.set,
  prune: (request: PruneRequest = {}) => retention.prune(request),
})
