import { FleetError } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import type { Socket } from 'socket.io'

/** How much may wait here for a client before it counts as one that does not read. */
const BYTES = 512 * 1024
/** What a packet takes besides its content. */
const PACKET_BYTES = 1024
/** How often a client that is behind is looked at, besides when something goes out to it. */
const LOOK_AGAIN_MS = 250
/** A client that has not caught up after this does not read any more. */
const GIVE_UP_MS = 30_000

interface Connection {
  writeBuffer: { data?: unknown }[]
  transport: { socket?: { bufferedAmount?: number; terminate?(): void } } | undefined
}

/** What a client has not read yet: what is in the websocket's own buffer, and what waits for that. */
export function waitingBytes(socket: Socket): number {
  const { writeBuffer, transport } = socket.conn as unknown as Connection
  const waiting = writeBuffer.reduce((sum, { data }) => sum + PACKET_BYTES + lengthOf(data), 0)
  return waiting + (transport?.socket?.bufferedAmount ?? 0)
}

const lengthOf = (data: unknown): number =>
  typeof data === 'string' ? data.length : data instanceof Uint8Array ? data.byteLength : 0

/** Finds clients that do not read what they are sent, and closes their connections in the end. */
export class Backlog {
  readonly #log: Logger
  readonly isBehind: (socket: Socket) => boolean

  /** @param isBehind whether a client does not read; a test may know better */
  constructor(log: Logger, isBehind = (socket: Socket): boolean => waitingBytes(socket) > BYTES) {
    this.#log = log
    this.isBehind = isBehind
  }

  /** Resolves when a client has read enough to be sent more. @throws {FleetError} `GONE` */
  async untilRead(socket: Socket): Promise<void> {
    const until = performance.now() + GIVE_UP_MS
    while (socket.conn.readyState === 'open' && this.isBehind(socket)) {
      if (performance.now() > until) this.#cut(socket)
      else await drained(socket)
    }
    if (socket.conn.readyState !== 'open') throw new FleetError('GONE', 'This connection is closed')
  }

  #cut(socket: Socket): void {
    const { address } = socket.handshake
    this.#log.warn({ code: 'SLOW_CONSUMER', address }, 'a connection is cut: its client does not read')
    terminate(socket.conn)
  }
}

/** Ends a connection at once. A plain close waits until the client has read everything. */
export function terminate(connection: { close(discard: boolean): void }): void {
  connection.close(true)
  const { transport } = connection as unknown as Connection
  transport?.socket?.terminate?.()
}

/** Resolves when something has gone out to a client, or after a while. */
function drained({ conn }: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      conn.off('drain', done)
      resolve()
    }
    const timer = setTimeout(done, LOOK_AGAIN_MS)
    conn.once('drain', done)
  })
}
