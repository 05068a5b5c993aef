import type { Socket } from 'socket.io'

/** How much may lie here for a client before it counts as one that does not read. */
const BYTES = 512 * 1024
const PACKETS = 64

/** Whether a client leaves what it is sent lying: what is in the websocket's own buffer, and what waits for that. */
export function isBehind(socket: Socket): boolean {
  const { writeBuffer, transport } = socket.conn as unknown as {
    writeBuffer: unknown[]
    transport: { socket?: { bufferedAmount?: number } } | undefined
  }
  return writeBuffer.length > PACKETS || (transport?.socket?.bufferedAmount ?? 0) > BYTES
}
