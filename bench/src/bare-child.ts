import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fleet } from '@taskfleet/core'
import { Server } from 'socket.io'
import { answerWith, memoryHeld } from './children.ts'
import { hostNow } from './clock.ts'

let seenAt = new Map<string, number>()
let seen = 0
let lastSeenAt = 0
const http = createServer()
const io = new Server(http, { transports: ['websocket'], serveClient: false, perMessageDeflate: false })

/** The floor of what a gateway does: a bare change stream, and a bare socket.io server that broadcasts what comes by it. */
const verbs = {
  /** @param broadcasting whether every event goes out by socket.io */
  async start(mongo: string, broadcasting = true): Promise<string> {
    const { database } = await Fleet.connect(mongo)
    const stream = database.streamsDb.watch([{ $match: { 'ns.coll': 'tasks' } }], {
      fullDocument: 'updateLookup',
      maxAwaitTimeMS: 1_000,
    })
    stream.on('change', (event) => {
      seen += 1
      lastSeenAt = hostNow()
      if (event.operationType !== 'update' || !broadcasting) return
      const { fullDocument } = event
      const id = String(event.documentKey._id)
      seenAt.set(`${id}:${fullDocument?.rev}`, lastSeenAt)
      const row = { ...fullDocument, _id: id }
      io.emit('queryDelta', { subscription: 'bare', seq: seen, added: [], changed: [{ row, index: 0 }], removed: [] })
    })
    // It begins with its first question.
    await sleep(500)
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  },
  /** When each revision came by the stream. */
  taken(): Map<string, number> {
    const taken = seenAt
    seenAt = new Map()
    return taken
  },
  progress: (): { seen: number; lastSeenAt: number } => ({ seen, lastSeenAt }),
  memory: memoryHeld,
}
export type BareVerbs = typeof verbs
answerWith(verbs)
