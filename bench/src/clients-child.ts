import { FleetClient } from '@taskfleet/client'
import type { QueryRequest } from '@taskfleet/protocol'
import { io, type Socket } from 'socket.io-client'
import { answerWith } from './children.ts'
import { hostNow } from './clock.ts'

/** How many connect at a time. */
const AT_ONCE = 50

let seenAt = new Map<string, number[]>()
let messages = 0
let added = 0
let lastSeenAt = 0
const clients: FleetClient[] = []
const sockets: Socket[] = []

interface Changed {
  added: readonly unknown[]
  changed: readonly { row: { _id: string; rev?: number } }[]
}

function take(delta: Changed | null): void {
  if (delta === null) return
  lastSeenAt = hostNow()
  messages += 1
  added += delta.added.length
  for (const { row } of delta.changed) {
    const key = `${row._id}:${row.rev}`
    const times = seenAt.get(key)
    if (times === undefined) seenAt.set(key, [lastSeenAt])
    else times.push(lastSeenAt)
  }
}

async function inGroups(count: number, open: (n: number) => Promise<unknown>): Promise<void> {
  for (let first = 0; first < count; first += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, n) => open(first + n)))
  }
}

/** Any number of clients in one process, and when each of them saw each change. */
const verbs = {
  /** Clients of a gateway that only connect. */
  connect: (url: string, count: number): Promise<void> =>
    inGroups(count, () => {
      const client = new FleetClient({ url })
      clients.push(client)
      return new Promise<void>((resolve) => client.onState((state) => state === 'live' && resolve()))
    }),
  /** Each of them subscribes to one of the queries, in turns. */
  subscribe: (queries: QueryRequest[]): Promise<void> =>
    inGroups(clients.length, (n) => clients[n]!.subscribe(queries[n % queries.length]!, (_rows, delta) => take(delta))),
  connectBare: (url: string, count: number): Promise<void> =>
    inGroups(count, () => {
      const socket = io(url, { transports: ['websocket'], forceNew: true })
      sockets.push(socket)
      socket.on('queryDelta', take)
      return new Promise<void>((resolve) => socket.on('connect', resolve))
    }),
  watchTask: async (id: string): Promise<void> => {
    await Promise.all(
      clients.map(async (client) => {
        const watch = await client.watchTask(id, { onProgress: () => (messages += 1) })
        while (watch.source.state !== 'live') await new Promise((resolve) => setTimeout(resolve, 10))
      }),
    )
  },
  /** How often these revisions were seen in all. */
  seen: (keys: string[]): number => keys.reduce((sum, key) => sum + (seenAt.get(key)?.length ?? 0), 0),
  /** When each revision was seen, by every client that saw it. */
  taken(): Map<string, number[]> {
    const taken = seenAt
    seenAt = new Map()
    return taken
  },
  progress: (): { messages: number; added: number; lastSeenAt: number } => ({ messages, added, lastSeenAt }),
  disconnect(): void {
    for (const client of clients.splice(0)) client.close()
    for (const socket of sockets.splice(0)) socket.close()
    messages = 0
    added = 0
  },
}
export type ClientVerbs = typeof verbs
answerWith(verbs)
