import { FleetError } from '@taskfleet/protocol'
import { isDirect, needsMajority } from './address.ts'
import { maskUri } from './mask-uri.ts'

/** What a server says of itself and its set: https://www.mongodb.com/docs/manual/reference/command/hello/ */
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

/** Of MongoDB 7.0. `buildInfo` would say the version as text, and the strict Stable API refuses it. */
const OLDEST_WIRE_VERSION = 21

/**
 * Refuses a server on which a fleet's promises don't hold.
 *
 * @throws {FleetError} `UNSUPPORTED_SERVER`, `NEEDS_REPLICA_SET`, `NEEDS_MAJORITY`
 */
export function refuseServer(uri: string, hello: Hello): void {
  const where = maskUri(uri)
  if (hello.msg === 'isdbgrid') {
    const why = "its routers' clocks decide what $$NOW is, and leases rest on the one clock of a primary"
    throw new FleetError(
      'UNSUPPORTED_SERVER',
      `${where} is a sharded cluster: ${why}. Give the address of a replica set`,
    )
  }
  if (hello.setName === undefined) {
    throw new FleetError(
      'NEEDS_REPLICA_SET',
      `${where} is a standalone mongod, which has no change streams: start it with --replSet rs0 and run rs.initiate() once`,
    )
  }
  if ((hello.maxWireVersion ?? 0) < OLDEST_WIRE_VERSION) {
    throw new FleetError('UNSUPPORTED_SERVER', `${where} runs a MongoDB before 7.0; a fleet needs 7.0 or later`)
  }
  const members = (hello.hosts?.length ?? 0) + (hello.passives?.length ?? 0) + (hello.arbiters?.length ?? 0)
  if (isDirect(uri) && members > 1) {
    const why = `one of ${members} members, and a fleet must follow the primary`
    throw needsMajority(
      'directConnection',
      `The database's address says directConnection=true, which holds to ${why}: leave it out`,
    )
  }
}

/** What an arbiter means for a fleet; undefined for a set without one. */
export function arbiterWarning({ hosts = [], passives = [], arbiters = [] }: Hello): string | undefined {
  if (arbiters.length === 0) return undefined
  const data = hosts.length + passives.length
  return `${data} members with data and ${arbiters.length} arbiter${arbiters.length === 1 ? '' : 's'}: an arbiter stores nothing, so one member less may leave no majority to confirm writes. Replace it by a member with data`
}
