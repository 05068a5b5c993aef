import { Fleet } from '@taskfleet/core'
import type { FleetControl } from '@taskfleet/protocol'
import { FleetError, type TaskRow } from '@taskfleet/protocol'
import { addressOf, databaseOf, tokenOf } from './address.ts'
import { databaseAdmin, type FleetAdmin } from './admin.ts'
import { DatabaseView, type FleetView } from './fleet-view.ts'
import { gatewayAdmin } from './gateway-admin.ts'
import { connectGateway, GatewayView } from './gateway-view.ts'
import type { CommonOptions } from './options.ts'
import { RestClient } from './rest-client.ts'

/** Connects to the database for one command, and closes the connection however that ends. */
async function withFleet<T>(options: CommonOptions, act: (fleet: Fleet, view: FleetView) => Promise<T>): Promise<T> {
  const { uri, name } = databaseOf(options)
  const fleet = await Fleet.connect(uri, { name })
  const view = new DatabaseView(fleet)
  try {
    return await act(fleet, view)
  } finally {
    await view.close()
    await fleet.close()
  }
}

/** Connects for a command that works on the database and through a gateway alike, and does not know which. */
export async function withControl<T>(
  options: CommonOptions,
  act: (control: FleetControl, view: FleetView) => Promise<T>,
): Promise<T> {
  const address = addressOf(options)
  if ('mongo' in address) return withFleet(options, (fleet, view) => act(fleet.control(), view))
  const client = await connectGateway(address.server, await tokenOf(options))
  let shutOut: (error: Error | undefined) => void = () => undefined
  // One that is shut out in the middle, such as by a revoked key or one that may less, waits for nothing more.
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

/** The same for what is done to a fleet besides its tasks, and needs no view of it. */
export async function withAdmin<T>(options: CommonOptions, act: (admin: FleetAdmin) => Promise<T>): Promise<T> {
  const address = addressOf(options)
  if ('mongo' in address) return withFleet(options, (fleet) => act(databaseAdmin(fleet)))
  return act(gatewayAdmin(new RestClient(address.server, await tokenOf(options))))
}

/** @throws {FleetError} `NOT_FOUND` */
export async function findTask(view: FleetView, id: string): Promise<TaskRow> {
  const task = await view.task(id)
  if (task === undefined) throw new FleetError('NOT_FOUND', `There is no task ${id}`, { field: 'id' })
  return task
}
