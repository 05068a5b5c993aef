import { Fleet } from '@taskfleet/core'
import type { FleetOperations } from '@taskfleet/protocol'
import { addressOf, databaseOf, tokenOf } from './address.ts'
import { DatabaseView, type FleetView } from './fleet-view.ts'
import { connectGateway, GatewayView } from './gateway-view.ts'
import type { CommonOptions } from './options.ts'

/**
 * Connects for one command, and closes the connection whether it succeeds or fails. A command works the same on the database and through
 * a gateway.
 */
export async function withFleet<T>(
  options: CommonOptions,
  act: (fleet: FleetOperations, view: FleetView) => Promise<T>,
): Promise<T> {
  const address = addressOf(options)
  if ('mongo' in address) return onDatabase(options, act)
  const client = await connectGateway(address.server, await tokenOf(options))
  let shutOut: (error: Error | undefined) => void = () => undefined
  // A key that is revoked, or loses a permission, ends the command.
  const refused = new Promise<never>((_, reject) => {
    shutOut = reject
    client.onState((state, error) => {
      if (state === 'refused') reject(error)
    })
  })
  const view = new GatewayView(client, shutOut)
  try {
    return await Promise.race([act(client, view), refused])
  } finally {
    client.close()
  }
}

async function onDatabase<T>(
  options: CommonOptions,
  act: (fleet: FleetOperations, view: FleetView) => Promise<T>,
): Promise<T> {
  const { uri, name } = databaseOf(options)
  const fleet = await Fleet.connect(uri, { name })
  const view = new DatabaseView(fleet)
  try {
    return await act(fleet.as(), view)
  } finally {
    await view.close()
    await fleet.close()
  }
}
