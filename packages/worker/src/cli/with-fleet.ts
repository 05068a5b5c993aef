import { Fleet } from '@taskfleet/core'
import { type CommonOptions, mongoUri } from './options.ts'

/** Connects for one command, and closes the connection however that ends. */
export async function withFleet<T>(options: CommonOptions, act: (fleet: Fleet) => Promise<T>): Promise<T> {
  const fleet = await Fleet.connect(mongoUri(options))
  try {
    return await act(fleet)
  } finally {
    await fleet.close()
  }
}
