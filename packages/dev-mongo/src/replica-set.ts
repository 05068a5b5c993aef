import { setTimeout as delay } from 'node:timers/promises'
import { MongoClient } from 'mongodb'

/** The answer of `hello` about the server's replica set. */
export type Hello = {
  setName?: string
  /** `isdbgrid` for mongos. */
  msg?: string
  /** Started with `--replSet` but never initiated. */
  isreplicaset?: boolean
  isWritablePrimary?: boolean
  me?: string
}

/** Asks one server, without looking for the rest of its set. Rejects after `timeout` ms. */
export const hello = (uri: string, timeout = 10_000): Promise<Hello> =>
  ask(uri, { directConnection: true, timeout }, { hello: 1 })

/**
 * Makes the server on a port of 127.0.0.1 the primary of a replica set of one member, unless it is already. Returns the connection string.
 *
 * @param setName the name for a set that has to be initiated
 */
export async function joinReplicaSet(port: number, setName: string): Promise<string> {
  const host = `127.0.0.1:${port}`
  const direct = `mongodb://${host}/`
  let state = await hello(direct)
  if (!state.setName) {
    if (state.isreplicaset) await initiateOrMove(direct, host, setName)
    else throw new Error(`the server on ${host} is a standalone: it has no change streams`)
    state = { setName }
  }
  const uri = `${direct}?replicaSet=${state.setName}`
  // Selecting the primary waits for the election.
  await ask(uri, { timeout: 30_000 }, { ping: 1 })
  return uri
}

async function initiateOrMove(uri: string, host: string, setName: string): Promise<void> {
  const member = { _id: 0, host }
  const options = { directConnection: true, timeout: 10_000 }
  try {
    await ask(uri, options, { replSetInitiate: { _id: setName, members: [member] } })
  } catch (error) {
    if ((error as { codeName?: string }).codeName !== 'AlreadyInitialized') throw error
    if (await namesItself(uri)) return
    // Its data was last served on another port, so the set has no member with its address.
    const { config } = await ask<{ config: { version: number } }>(uri, options, { replSetGetConfig: 1 })
    const moved = { ...config, version: config.version + 1, members: [member] }
    await ask(uri, options, { replSetReconfig: moved, force: true })
  }
}

/** A server that has just started may need a moment to read which set it belongs to. */
async function namesItself(uri: string): Promise<boolean> {
  for (let tries = 10; tries > 0; tries -= 1) {
    if ((await hello(uri)).setName) return true
    await delay(100)
  }
  return false
}

/** Sends one command to the admin database. */
export async function ask<Answer>(
  uri: string,
  { timeout, ...options }: { timeout: number; directConnection?: boolean },
  command: Record<string, unknown>,
): Promise<Answer> {
  const client = new MongoClient(uri, { ...options, serverSelectionTimeoutMS: timeout, connectTimeoutMS: timeout })
  try {
    return (await client.db('admin').command(command)) as Answer
  } finally {
    await client.close()
  }
}
