import { markRounded } from '@taskfleet/protocol/internal'
import { Decoder, Encoder } from 'socket.io-parser'

/** Marks whole numbers that parsing would round, so that `checkJson` finds them in the parsed value. */
class StrictDecoder extends Decoder {
  override add(packet: unknown): void {
    super.add(typeof packet === 'string' ? marked(packet) : packet)
  }
}

/** A packet is its type, its namespace, the number of its acknowledgement, then JSON. */
function marked(packet: string): string {
  const start = packet.search(/[[{]/)
  return start < 0 ? packet : packet.slice(0, start) + markRounded(packet.slice(start))
}

/** The parser of socket.io, for a server that never changes a number silently. */
export const strictParser = { Encoder, Decoder: StrictDecoder }
