import {
  type EventCommands,
  type Fleet,
  FleetCommands,
  type KeyCommands,
  LOCAL,
  type UpkeepCommands,
} from '@taskfleet/core'

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
  upkeep: Pick<UpkeepCommands, 'retention' | 'setRetention' | 'prune'>
}

/** Straight on the database. */
export const databaseAdmin = (fleet: Fleet): FleetAdmin => ({
  events: fleet.eventsFor(),
  keys: fleet.keysFor(),
  queues: new FleetCommands(fleet, LOCAL),
  upkeep: fleet.upkeepFor(),
})
