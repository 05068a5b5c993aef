import { FleetError } from '@taskfleet/protocol'
import { maskSecrets } from '@taskfleet/protocol/internal'
import { MongoClient } from 'mongodb'
import { type Hello, hello } from './replica-set.ts'
import type { RunningMongo } from './types.ts'

/**
 * Checks the database that the user named, and takes it as it is: it is never stopped.
 *
 * @param timeout ms to wait for a server
 * @throws FleetError `NEEDS_REPLICA_SET` for a standalone, `UNSUPPORTED_SERVER` for a sharded cluster, `DATABASE_UNREACHABLE` where nothing answers
 */
export async function checkUri(uri: string, timeout = 10_000): Promise<RunningMongo> {
  await requireReplicaSet(uri, timeout)
  return { uri, source: 'uri', standIn: false, stop: async () => {} }
}

/** @throws FleetError `NEEDS_REPLICA_SET`, `UNSUPPORTED_SERVER` or `DATABASE_UNREACHABLE`, all without the URI's password */
export async function requireReplicaSet(uri: string, timeout = 10_000): Promise<void> {
  const state = await helloOfSet(uri, timeout).catch(async (thrown: unknown) => {
    const unreachable = thrown as Error
    // A server that isn't the member the URI asks for answers, but is never selected: ask it what it is.
    const alone = await hello(withoutReplicaSet(uri), Math.min(timeout, 2_000)).catch(() => undefined)
    if (alone && !alone.setName) return alone
    const found = alone ? `; the server there belongs to the replica set "${alone.setName}"` : ''
    throw new FleetError(
      'DATABASE_UNREACHABLE',
      `No database answers at ${maskSecrets(uri)} (${maskSecrets(unreachable.message)}${found}). Check TASKFLEET_MONGO_URI and that the server runs, or unset it to use a local database.`,
      { field: 'TASKFLEET_MONGO_URI' },
    )
  })
  if (state.setName) return
  if (state.msg === 'isdbgrid') {
    throw new FleetError(
      'UNSUPPORTED_SERVER',
      `The database at ${maskSecrets(uri)} is a sharded cluster, whose routers' clocks decide what $$NOW is. Give the address of a replica set.`,
      { field: 'TASKFLEET_MONGO_URI' },
    )
  }
  const what = state.isreplicaset ? 'is a replica set that was never initiated' : 'is a standalone server'
  throw new FleetError(
    'NEEDS_REPLICA_SET',
    `The database at ${maskSecrets(uri)} ${what}, which has no change streams. Start it with \`mongod --replSet rs0\`, then run \`rs.initiate()\` once in mongosh; one member is enough.`,
    { field: 'TASKFLEET_MONGO_URI' },
  )
}

async function helloOfSet(uri: string, timeout: number): Promise<Hello> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: timeout, connectTimeoutMS: timeout })
  try {
    return (await client.db('admin').command({ hello: 1 })) as Hello
  } finally {
    await client.close()
  }
}

function withoutReplicaSet(uri: string): string {
  return uri.replace(/([?&])replicaSet=[^&]*&?/i, '$1')
}
