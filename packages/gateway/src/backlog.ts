import type { Socket } from 'socket.io'

/** How much may wait here for a client before it counts as one that does not read. */
const BYTES = 512 * 1024
const PACKETS = 64

interface Connection {
  writeBuffer: { data?: unknown }[]
  transport: { socket?: { bufferedAmount?: number } } | undefined
}

/** Whether a client does not read what it is sent: what is in the websocket's own buffer, and what waits for that. */
export function isBehind(socket: Socket): boolean {
  const { writeBuffer, transport } = socket.conn as unknown as Connection
  if (writeBuffer.length > PACKETS) return true
  const waiting = writeBuffer.reduce((sum, { data }) => sum + lengthOf(data), 0)
  return waiting + (transport?.socket?.bufferedAmount ?? 0) > BYTES
}

const lengthOf = (data: unknown): number =>
  typeof data === 'string' ? data.length : data instanceof Uint8Array ? data.byteLength : 0
