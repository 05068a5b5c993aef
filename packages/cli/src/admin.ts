import { type Fleet, LOCAL } from '@taskfleet/core'
import type {
  EventCommands,
  FleetCommands,
  KeyCommands,
  ScheduleCommands,
  UpkeepCommands,
} from '@taskfleet/core/internal'

/**
 * What commands do to a fleet besides its tasks, whether on its database or through a gateway. Both answer with the same
 * rows and refuse with the same codes.
 */
export interface FleetAdmin {
  events: Pick<
    EventCommands,
    | 'post'
    | 'show'
    | 'cancel'
    | 'remove'
    | 'createCallback'
    | 'editCallback'
    | 'showCallback'
    | 'listCallbacks'
    | 'removeCallback'
  >
  keys: Pick<KeyCommands, 'list' | 'show' | 'create' | 'edit' | 'revoke'>
  queues: Pick<FleetCommands, 'limitQueue'>
  schedules: Pick<ScheduleCommands, 'create' | 'edit' | 'pause' | 'resume' | 'run' | 'remove' | 'show' | 'list'> & {
    preview(...asked: Parameters<ScheduleCommands['preview']>): string[] | Promise<string[]>
  }
  upkeep: Pick<UpkeepCommands, 'retention' | 'setRetention' | 'prune'>
}

/** Straight on the database. */
export const databaseAdmin = (fleet: Fleet): FleetAdmin => ({
  events: fleet.eventsFor(),
  keys: fleet.keysFor(),
  queues: { limitQueue: (name, limits) => fleet.as(LOCAL).queues.limit({ name, limits }) },
  schedules: fleet.schedulesFor(),
  upkeep: fleet.upkeepFor(),
})
