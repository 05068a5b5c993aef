import { Fleet, type FleetControl, FleetError, type ObjectId, type TaskDocument } from '@taskfleet/core'
import { type CommonOptions, mongoUri } from './options.ts'

/** Connects for one command, and closes the connection however that ends. */
export async function withFleet<T>(
  options: CommonOptions,
  act: (fleet: Fleet, control: FleetControl) => Promise<T>,
): Promise<T> {
  const fleet = await Fleet.connect(mongoUri(options))
  try {
    return await act(fleet, fleet.control())
  } finally {
    await fleet.close()
  }
}

/** @throws {FleetError} `NOT_FOUND` */
export async function findTask(fleet: Fleet, id: ObjectId): Promise<TaskDocument> {
  const task = await fleet.store.find(id)
  if (task === null) throw new FleetError('NOT_FOUND', `There is no task ${id.toHexString()}`, { field: 'id' })
  return task
}
