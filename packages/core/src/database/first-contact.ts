import { setTimeout as sleep } from 'node:timers/promises'
import type { mongo } from 'mongoose'

/**
 * Connects. While any member responds, it waits for an election. If no member responds within `timeoutMs`, it fails.
 */
export async function firstContact(client: mongo.MongoClient, timeoutMs: number): Promise<void> {
  let seen: mongo.TopologyDescription | undefined
  const onChange = ({ newDescription }: mongo.TopologyDescriptionChangedEvent): void => {
    seen = newDescription
  }
  client.on('topologyDescriptionChanged', onChange)
  const patience = new AbortController()
  const late = sleep(timeoutMs, 'late' as const, { signal: patience.signal })
  const connecting = client.connect().then(() => 'connected' as const)
  try {
    if ((await Promise.race([connecting, late])) === 'connected') return
    const members = [...(seen?.servers.values() ?? [])]
    if (members.some(({ type }) => type !== 'Unknown')) {
      await connecting
      return
    }
    connecting.catch(() => undefined)
    throw new Error(members.find(({ error }) => error !== null)?.error?.message ?? `no response within ${timeoutMs} ms`)
  } finally {
    patience.abort()
    late.catch(() => undefined)
    client.off('topologyDescriptionChanged', onChange)
  }
}
