import { markRounded } from '@taskfleet/protocol/internal'
import { Decoder, Encoder } from 'socket.io-parser'

/** Marks whole numbers that parsing would round, for `checkJson` to find in what was parsed. */
class StrictDecoder extends Decoder {
  override add(packet: unknown): void {
    super.add(typeof packet === 'string' ? marked(packet) : packet)
  }
}

/** Before its JSON a packet has its type, its namespace and the number of its acknowledgement. */
function marked(packet: string): string {
  const start = packet.search(/[[{]/)
  return start < 0 ? packet : packet.slice(0, start) + markRounded(packet.slice(start))
}

/** The parser of socket.io, for a server that changes no number in silence. */
export const strictParser = { Encoder, Decoder: StrictDecoder }
