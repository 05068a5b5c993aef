import { FleetError } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import type { Socket } from 'socket.io'

/** How many bytes may wait for a client before it counts as not reading. */
const BYTES = 512 * 1024
/** The most bytes that may wait for a client, with the message that is sent to it now. */
export const MOST_UNREAD_BYTES = 1024 * 1024
/** The bytes of a packet besides its content. */
const PACKET_BYTES = 1024
/** How often a client that is behind is checked, besides each time data is sent to it. */
const LOOK_AGAIN_MS = 250
/** A client that has not caught up after this time is disconnected. */
const GIVE_UP_MS = 30_000

interface Connection {
  writeBuffer: { data?: unknown }[]
  transport: { socket?: { bufferedAmount?: number; terminate?(): void } } | undefined
}

/** A client's unread bytes: those in the websocket's own buffer, and those that wait for it. */
export function waitingBytes(socket: Socket): number {
  const { writeBuffer, transport } = socket.conn as unknown as Connection
  const waiting = writeBuffer.reduce((sum, { data }) => sum + PACKET_BYTES + lengthOf(data), 0)
  return waiting + (transport?.socket?.bufferedAmount ?? 0)
}

const lengthOf = (data: unknown): number =>
  typeof data === 'string' ? data.length : data instanceof Uint8Array ? data.byteLength : 0

/** Finds clients that do not read, and finally closes their connections. */
export class Backlog {
  readonly #log: Logger
  readonly isBehind: (socket: Socket) => boolean

  /** @param isBehind whether a client does not read; tests replace it */
  constructor(log: Logger, isBehind = (socket: Socket): boolean => waitingBytes(socket) > BYTES) {
    this.#log = log
    this.isBehind = isBehind
  }

  /** Whether a message of so many bytes leaves a client at most `most` unread bytes. */
  fits(socket: Socket, bytes: number, most = MOST_UNREAD_BYTES): boolean {
    return waitingBytes(socket) + bytes <= most
  }

  /**
   * Resolves when a client has read enough to get more.
   *
   * @param bytes the size of the next message, in bytes. One that is larger than `most` waits until nothing else is unread.
   * @throws {FleetError} `GONE`
   */
  async untilRead(socket: Socket, bytes: () => number = () => 0, most = MOST_UNREAD_BYTES): Promise<void> {
    const until = performance.now() + GIVE_UP_MS
    const isFull = (): boolean => waitingBytes(socket) > 0 && !this.fits(socket, bytes(), most)
    while (socket.conn.readyState === 'open' && (this.isBehind(socket) || isFull())) {
      if (performance.now() > until) this.#cut(socket)
      else await drained(socket)
    }
    if (socket.conn.readyState !== 'open') throw new FleetError('GONE', 'This connection is closed')
  }

  #cut(socket: Socket): void {
    const { address } = socket.handshake
    this.#log.warn({ code: 'SLOW_CONSUMER', address }, 'a connection is closed: its client does not read')
    terminate(socket.conn)
  }
}

/** Ends a connection at once. A plain close waits until the client has read everything. */
export function terminate(connection: { close(discard: boolean): void }): void {
  connection.close(true)
  const { transport } = connection as unknown as Connection
  transport?.socket?.terminate?.()
}

/** Resolves when data was sent to a client, or after a while. */
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
