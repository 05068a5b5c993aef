import { FleetError } from '@taskfleet/protocol'
import { maskSecrets } from '@taskfleet/protocol/internal'
import { ask, type Hello, hello } from './replica-set.ts'
import type { RunningMongo } from './types.ts'

const field = 'TASKFLEET_MONGO_URI'

/**
 * Checks the user's own database. It is never stopped.
 *
 * @param timeout ms to wait for a server
 * @throws FleetError as `requireReplicaSet`
 */
export async function checkUri(uri: string, timeout = 10_000): Promise<RunningMongo> {
  await requireReplicaSet(uri, timeout)
  return { uri, source: 'uri', standIn: false, stop: async () => {} }
}

/**
 * The messages of its errors hide the password in the URI.
 *
 * @throws FleetError `NEEDS_REPLICA_SET` for a standalone, `UNSUPPORTED_SERVER` for a sharded cluster, `DATABASE_UNREACHABLE` when
 * no server answers
 */
export async function requireReplicaSet(uri: string, timeout = 10_000): Promise<void> {
  const state = await ask<Hello>(uri, { timeout }, { hello: 1 }).catch(async (thrown: unknown) => {
    const unreachable = thrown as Error
    // A server of another replica set answers, but is never selected. `hello` says which one it is in.
    const alone = await hello(withoutReplicaSet(uri), Math.min(timeout, 2_000)).catch(() => undefined)
    if (alone && !alone.setName) return alone
    const found = alone ? `; the server there belongs to the replica set "${alone.setName}"` : ''
    const problem = `No database answers at ${maskSecrets(uri)} (${maskSecrets(unreachable.message)}${found})`
    const remedy = 'Check TASKFLEET_MONGO_URI and that the server runs, or unset it to use a local database.'
    throw new FleetError('DATABASE_UNREACHABLE', `${problem}. ${remedy}`, { field })
  })
  if (state.setName) return
  if (state.msg === 'isdbgrid') {
    const problem = `The database at ${maskSecrets(uri)} is a sharded cluster, where $$NOW comes from the clocks of its routers`
    throw new FleetError('UNSUPPORTED_SERVER', `${problem}. Give the address of a replica set.`, { field })
  }
  const what = state.isreplicaset ? 'is a replica set that was never initiated' : 'is a standalone server'
  const remedy = 'Start it with `mongod --replSet rs0`, then run `rs.initiate()` once in mongosh; one member is enough.'
  const problem = `The database at ${maskSecrets(uri)} ${what}, which has no change streams`
  throw new FleetError('NEEDS_REPLICA_SET', `${problem}. ${remedy}`, { field })
}

const withoutReplicaSet = (uri: string): string => uri.replace(/([?&])replicaSet=[^&]*&?/i, '$1')
