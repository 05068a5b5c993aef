import { FleetError } from '@taskfleet/protocol'
import { isDirect, needsMajority } from './address.ts'
import { maskUri } from './mask-uri.ts'

/** A server's description of itself and its set: https://www.mongodb.com/docs/manual/reference/command/hello/ */
export interface Hello {
  setName?: string
  /** `isdbgrid` for the router of a sharded cluster. */
  msg?: string
  hosts?: readonly string[]
  passives?: readonly string[]
  arbiters?: readonly string[]
  /** Grows with every version of the server: https://github.com/mongodb/specifications/blob/master/source/wireversion-featurelist/wireversion-featurelist.md */
  maxWireVersion?: number
}

/** The wire version of MongoDB 7.0. `buildInfo` has the version as text, but the strict Stable API doesn't allow it. */
const OLDEST_WIRE_VERSION = 21

/**
 * Rejects a server that can't give a fleet's guarantees.
 *
 * @throws {FleetError} `UNSUPPORTED_SERVER`, `NEEDS_REPLICA_SET`, `NEEDS_MAJORITY`
 */
export function refuseServer(uri: string, hello: Hello): void {
  const where = maskUri(uri)
  if (hello.msg === 'isdbgrid') {
    const why = "$$NOW comes from its routers' clocks, but leases need the single clock of a primary"
    throw new FleetError(
      'UNSUPPORTED_SERVER',
      `${where} is a sharded cluster: ${why}. Use the address of a replica set`,
    )
  }
  if (hello.setName === undefined) {
    throw new FleetError(
      'NEEDS_REPLICA_SET',
      `${where} is a standalone mongod, which has no change streams. Start it with --replSet rs0 and run rs.initiate() once`,
    )
  }
  if ((hello.maxWireVersion ?? 0) < OLDEST_WIRE_VERSION) {
    throw new FleetError('UNSUPPORTED_SERVER', `${where} runs a MongoDB before 7.0; a fleet needs 7.0 or later`)
  }
  const members = (hello.hosts?.length ?? 0) + (hello.passives?.length ?? 0) + (hello.arbiters?.length ?? 0)
  if (isDirect(uri) && members > 1) {
    const why = `one of ${members} members, but a fleet must follow the primary`
    throw needsMajority(
      'directConnection',
      `The database's address has directConnection=true, which connects only to ${why}. Remove it`,
    )
  }
}

/** A warning about arbiters; undefined for a set without one. */
export function arbiterWarning({ hosts = [], passives = [], arbiters = [] }: Hello): string | undefined {
  if (arbiters.length === 0) return undefined
  const data = hosts.length + passives.length
  return `${data} members with data and ${arbiters.length} arbiter${arbiters.length === 1 ? '' : 's'}: an arbiter stores nothing, so if one data member fails, there may be no majority to confirm writes. Replace it with a member with data`
}
