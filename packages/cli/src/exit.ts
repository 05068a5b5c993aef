import { FleetError } from '@taskfleet/protocol'
import { EXIT, meaningOf } from '@taskfleet/protocol/internal'

export { EXIT }

/** The exit code of a command that ends with this error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof FleetError) return meaningOf(error.code).exit
  const name = error instanceof Error ? error.name : ''
  if (/^Mongo(Network|ServerSelection|Topology|PoolCleared|NotConnected)/.test(name)) return EXIT.unreachable
  // The driver can't read the address.
  if (/^Mongo(Parse|InvalidArgument|MissingCredentials|API)/.test(name)) return EXIT.config
  return EXIT.failed
}
